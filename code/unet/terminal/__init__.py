"""Floor 6: the only room that knows argparse, tqdm and print."""
