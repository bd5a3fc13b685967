"""Every family has its three parts: a row in C, a class in Python, a twin in the reference."""

import pickle

from cases import EXAMPLES, name_of, twins
import pytest

import pyscratch as ps
from pyscratch import _native, distributions, losses, reference


def test_every_class_has_a_twin_and_a_public_name():
    missing = set(losses.families) - set(reference.families)
    assert not missing, f"pyscratch/reference lacks {sorted(missing)}"
    unknown = set(reference.families) - set(losses.families)
    assert not unknown, f"pyscratch/losses lacks {sorted(unknown)}"
    hidden = [name for name, cls in losses.families.items() if getattr(ps, name, None) is not cls]
    assert not hidden, f"pyscratch/__init__.py lacks {hidden}"
    assert all(issubclass(reference.families[name], cls) for name, cls in losses.families.items())


def test_every_example_has_a_c_row_and_every_c_row_an_example():
    names = {losses.families[name](**options).name for name, options in EXAMPLES}
    rows = set(_native.families())
    assert not names - rows, f"families.h lacks {sorted(names - rows)}"
    assert not rows - names, f"no example in pyscratch/losses covers {sorted(rows - names)}"


@pytest.mark.parametrize("cls", losses.families.values(), ids=lambda cls: cls.__name__)
def test_every_class_states_its_data(cls):
    for field in ("likelihood", "support", "ulps", "card", "distribution_class"):
        assert getattr(cls, field), f"{cls.__name__} does not state {field}"
    own = cls.distribution_class._cdf is not distributions.Distribution._cdf
    assert cls.scipy or own, f"{cls.__name__} states neither its name in scipy.stats nor a cdf"
    assert all(cls.card), f"the card of {cls.__name__} has an empty line"
    assert {"nll", "grad"} <= set(cls.ulps)
    assert cls.card.nll in cls.__doc__ and cls.card.source in cls.__doc__
    assert cls._draw is not losses.Loss.__dict__.get("_draw"), f"{cls.__name__} cannot draw targets"


def test_a_loss_is_a_frozen_value(pair):
    for loss in pair:
        again = type(loss)(**loss.options)
        assert again == loss and hash(again) == hash(loss) and again is not loss
        assert pickle.loads(pickle.dumps(loss)) == loss
        assert eval(repr(loss), {**losses.families, **(reference.families if loss is pair[1] else {})}) == loss
        assert loss.link == loss.link.name and loss.link == pickle.loads(pickle.dumps(loss.link))
        with pytest.raises(AttributeError, match="frozen"):
            loss.link = "other"
        with pytest.raises(AttributeError, match="frozen"):
            del loss.link
    assert pair[0] != pair[1]


def test_losses_with_other_options_differ():
    losses_ = [twins(example)[0] for example in EXAMPLES]
    assert len(set(losses_)) == len(EXAMPLES), [name_of(example) for example in EXAMPLES]
