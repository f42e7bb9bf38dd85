"""What one set of weights needs beside another: whole tensors, and single values where hardly any differ."""

from collections.abc import Mapping

from torch import Tensor

# Of a tensor NAME that differs from the base in a few values: where they lie in it, row by row, and what they are.
PLACES, VALUES = "@places", "@values"
_PLACE_BYTES = 4


def own_part(state: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What has to be kept beside the base to get the weights back, but for the sign of a zero.

    Tensors that were frozen in training may still have moved by a rounding error, where an average of weights
    multiplied and added: in 16 bit that is another value here and there. Such a tensor is kept as those values.

    Args:
        state: the weights; floating point in 16 bit.
        base: the same of the base; each of its names must be in `state`.

    Returns:
        Nothing for a tensor that the base has as well; `NAME@places` and `NAME@values` for one that differs in few
        values; all of it for any other.
    """
    own = {}
    for name, value in state.items():
        shared = base.get(name)
        if shared is None or shared.shape != value.shape or shared.dtype != value.dtype:
            own[name] = value
            continue
        places = (value != shared).flatten().nonzero().flatten()
        if not len(places):
            continue
        if len(places) * (_PLACE_BYTES + value.element_size()) < value.nbytes:
            own[name + PLACES] = places.int()
            own[name + VALUES] = value.flatten()[places]
        else:
            own[name] = value
    return own


def put_together(own: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of which `own_part` made `own`, given the same base."""
    state = dict(base)
    for name, value in own.items():
        if name.endswith(VALUES):
            name = name.removesuffix(VALUES)
            places = own[name + PLACES].long()
            state[name] = base[name].flatten().index_copy(0, places, value).view(base[name].shape)
        elif not name.endswith(PLACES):
            state[name] = value
    return state
