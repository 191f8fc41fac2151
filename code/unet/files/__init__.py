"""Floor 1: what lies on the disk. Errors, atomic writing, the Folder_n tree."""
