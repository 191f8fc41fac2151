"""The options of predictions that several processes share."""

from argparse import ArgumentTypeError

from unet.terminal import cli


def add_sharing(group):
    """The options of predictions that several processes share."""
    group.add_argument(
        "--workers",
        metavar="N",
        type=cli.number(int, 1, 1024),
        help="predict scenes in N processes of one thread each. The same "
        "command may run many times, on other machines too, with one --out: "
        "they share the scenes. Finished scenes are not predicted again",
    )
    group.add_argument(
        "--dask",
        metavar="local|ADDRESS",
        type=address,
        help="predict scenes as tasks of dask.distributed: on this machine, "
        "in --workers processes, or by the scheduler at ADDRESS, such as "
        "tcp://host:8786, whose workers see the same files",
    )


def address(text):
    """An argparse type: "local", or where a scheduler is."""
    if text != "local" and ":" not in text:
        raise ArgumentTypeError(
            f"expected local or an address like tcp://host:8786, found {text}"
        )
    return text


def check_sharing(parser, args):
    """Refuse options that do not go together, in one line."""
    if args.dask not in (None, "local") and args.workers:
        parser.error(
            "argument --workers: expected none beside the address of a "
            "scheduler, which has its own"
        )
    if args.adapt and (args.workers or args.dask):
        parser.error(
            "argument --adapt: expected neither --workers nor --dask beside "
            "it: it changes one model by all images. Adapt in one process"
        )
