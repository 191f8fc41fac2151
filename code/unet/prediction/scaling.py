"""The ground scale of the training, and what a scene needs to have it."""


def scales(contract, resolution=None, given=None):
    """How much a scene is reduced before the network sees it.

    Args:
        contract: ``unet.network.contract.Contract`` of the model.
        resolution: metres a pixel of the scene from row to row and from
            column to column, or None.
        given: the user's own factor, or None.

    Returns:
        (factor of the rows, factor of the columns): a given one, else the
        one at which a pixel covers as much ground as in training where both
        are known, else the one by which the training images were reduced;
        None if the model says nothing of it.
    """
    if given is not None:
        return given, given
    trained = contract.resolution
    if resolution and trained:
        return resolution[0] / trained[0], resolution[1] / trained[1]
    if contract.scales is not None:
        return tuple(contract.scales)
    # Of models that were made before there were two factors.
    return contract.scale and (contract.scale, contract.scale)
