"""How long a photo will take that comes now: learnt from those that were worked on before."""

__all__ = ["WorkPace"]

# Before anything was worked on: InceptionV3 on two cores.
FIRST_INTERVAL_S = 0.04
FIRST_WORK_S = 0.12

# How much the latest photo counts. Twenty of them forget nine tenths of what was.
WEIGHT = 0.1

# How often a photo may take longer than the margin allows, and how much the margin grows when one does: it then shrinks
# by a hundredth of that with every photo that doesn't.
LATE_SHARE = 0.01
MARGIN_STEP = 0.05
FIRST_MARGIN, LEAST_MARGIN, MOST_MARGIN = 1.25, 1.1, 3.0

# One photo counts as no more than this many times what was expected: a stall, or one huge photo, is not the pace.
MOST_GROWTH = 4.0


class WorkPace:
    """What work takes, as moving averages.

    When every place is taken, one photo leaves after the other; the time between them is what makes others wait.

    Attributes:
        interval_s: from one photo that leaves to the next, when all places are taken.
        work_s: from a photo's getting a place to its being done.
        margin: how many times as long as was expected nearly all photos take at most: little more than 1 on a quiet
            machine, more on one that does something else beside.
    """

    def __init__(self) -> None:
        self.interval_s = FIRST_INTERVAL_S
        self.work_s = FIRST_WORK_S
        self.margin = FIRST_MARGIN

    def learn(self, work_s: float, *, beside: float, all_taken: bool) -> None:
        """Take in that a photo is done.

        Args:
            work_s: what it took, from getting its place.
            beside: how many places were taken meanwhile, its own included; on average.
            all_taken: whether that was all of them.
        """
        self.work_s = _follow(self.work_s, work_s)
        # While n photos are worked on at a time, one leaves in each n-th part of the time that one takes. A photo that
        # was alone had no one to share the machine with: the interval may be shorter than that, but it isn't longer.
        interval_s = work_s / beside
        if all_taken or interval_s < self.interval_s:
            self.interval_s = _follow(self.interval_s, interval_s)

    def judge(self, expected_s: float, took_s: float) -> None:
        """Take in how long a photo took from its arrival, and how long it was expected to."""
        if took_s > self.margin * expected_s:
            self.margin = min(self.margin + MARGIN_STEP, MOST_MARGIN)
        else:
            self.margin = max(self.margin - MARGIN_STEP * LATE_SHARE / (1 - LATE_SHARE), LEAST_MARGIN)

    def predict(self, turns: int, places: int) -> float:
        """Return how long it takes to the end of a photo's work.

        Args:
            turns: how many must leave before it gets a place; 0 if one is free.
            places: how many there are.
        """
        if turns == 0:
            return self.work_s
        return turns * self.interval_s + max(self.work_s, places * self.interval_s)


def _follow(average: float, latest: float) -> float:
    return average + WEIGHT * (min(latest, MOST_GROWTH * average) - average)
