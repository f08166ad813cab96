"""When an identification model has learned enough, by nothing but the error sets that it makes on the way."""

from dataclasses import dataclass

STABLE_OVERLAP = 0.9
GROWTH = 1.02


@dataclass
class Watch:
    """Looks at an error set every now and then while its model is trained, and says which look to keep.

    While a model learns the shortcut, one look's set has little to do with the next one's. When it has learned it, sets
    in a row overlap (Jaccard's index) by .9 or more. As long as such a set still grows, it comes from a model that
    turns further to the shortcut; when it shrinks, from one that learns the minority by heart. So the largest set of a
    stable row is kept, and training ends when it grows no more. A row that breaks off means that the model learns
    again: a later row replaces it. Without any stable row the last look is kept.

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
    """

    kept: int = 0
    row: int = 0
    looks: int = 0
    stop: bool = False

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
        if self.looks == 1 or flawed or not size or both < STABLE_OVERLAP * either:
            self.row = 0
            return not self.settled
        if size <= GROWTH * self.row:
            self.stop = True
            return False
        self.row = self.kept = size
        return True
