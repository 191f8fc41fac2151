"""The options of predictions that several processes share."""

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
