"""When an identification model has learned enough, by nothing but the error sets that it makes on the way."""

from dataclasses import dataclass

STABLE_OVERLAP = 0.9
GROWTH = 1.02
NEAR_OVERLAP = 0.8
BREAK_OVERLAP = 0.4
SHRUNK = 1 / 3


@dataclass
class Watch:
    """Looks at an error set every now and then while its model is trained, and says which look to keep.

    While a model learns the shortcut, one look's set has little to do with the next one's. When it has learned it, sets
    in a row overlap (Jaccard's index) by .9 or more. As long as such a set still grows, it comes from a model that
    turns further to the shortcut; when it shrinks, from one that learns the minority by heart. So the largest set of a
    stable row is kept, and training ends when it grows no more. A row that breaks off means that the model learns
    again: a later row replaces it. Without any stable row the last look is kept.

    Where data is small, the minority is learned by heart from the first look on: sets overlap by .8, none by .9, and
    shrink look by look until they are next to nothing, and stable. That ends when a set is a third of the largest one
    that overlapped by .8, without a break (an overlap below .4, as when a model learns more of the shortcut) in
    between; what is kept then is that largest set, the plateau.

    Attributes
    ----------
    kept : int
        Size of the stable set that is kept; 0 before there is one.
    row : int
        Size of the largest set of the present row of stable sets; 0 outside a row.
    looks : int
        Looks taken.
    stop : bool
        Whether more training is of no use.
    plateau : int
        Size of the largest set since the last break that overlapped by .8; 0 before there is one.
    at_plateau : bool
        Whether the last look is the plateau's.
    back : bool
        Whether the plateau's model is the one to keep.
    """

    kept: int = 0
    row: int = 0
    looks: int = 0
    stop: bool = False
    plateau: int = 0
    at_plateau: bool = False
    back: bool = False

    @property
    def settled(self) -> bool:
        """Whether a stable set has been seen."""
        return self.kept > 0

    def keeps(self, size: int, both: int, either: int, flawed: bool) -> bool:
        """Take a look; return whether its model is the one to keep, as far as is known.

        Parameters
        ----------
        size : int
            Of the error set.
        both, either : int
            Examples in this set and the last look's one, and in one of the two.
        flawed : bool
            Whether the guard objects to the set.
        """
        self.looks += 1
        if self.looks > 1 and self._has_shrunk(size, both, either, flawed):
            self.stop = self.back = True
            return False
        if self.looks == 1 or flawed or not size or both < STABLE_OVERLAP * either:
            self.row = 0
            return not self.settled
        if size <= GROWTH * self.row:
            self.stop = True
            return False
        self.row = self.kept = size
        return True

    def _has_shrunk(self, size: int, both: int, either: int, flawed: bool) -> bool:
        """Follow the plateau; return whether the set has shrunk away from it without a break."""
        self.at_plateau = False
        if flawed or both < BREAK_OVERLAP * either:
            self.plateau = 0
        elif both >= NEAR_OVERLAP * either and size > self.plateau:
            self.plateau, self.at_plateau = size, True
        elif size < SHRUNK * self.plateau:
            return True
        return False
