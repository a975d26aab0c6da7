"""The one table of limits: what each check measures, from which value it warns and from which it fails, and what it says.

How each limit was chosen: docs/quality.md. Lengths in cm of a person whose longest side is 170 cm.
"""

from dataclasses import dataclass

NEVER = float("inf")
SMALLEST = 1e-6     # numbers below it are rounding, shown as 0


@dataclass(frozen=True)
class Limit:
    """A value beyond ``warn`` warns, beyond ``fail`` fails; beyond is above, with ``least`` below. A limit that is NEVER does neither.

    good, bad: plain sentences; {value} is the value as written for people, {where} the joints or poses beyond the limit for a warning.
    """
    title: str
    unit: str
    warn: float
    fail: float
    good: str
    bad: str
    least: bool = False

    def beyond(self, value: float, limit: float) -> bool:
        return value < limit if self.least else value > limit

    def sentence(self, verdict: str, value: float, where: str) -> str:
        return (self.good if verdict == "pass" else self.bad).format(value=shown(value, self.unit), where=where or "no single joint")


def shown(value: float, unit: str) -> str:
    """A measured number as an artist reads it: 0.0312 and "%" give "3.1 %"."""
    if abs(value) == NEVER:
        return "infinitely many " + unit if unit else "never"
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{0.0 if abs(value) < SMALLEST else value:.3g} {unit}".strip()


LIMITS = {
    "coarse": Limit(
        "Coordinates are fine", "cm", 0.2, 1.0, "Coordinates are fine enough where the figure stands: they go in steps of {value}.",
        "The figure stands so far from the origin that its coordinates go in steps of {value}. Small parts are lost; move it to the origin "
        "in the tool that made it, and export it again."),
    "figures": Limit(
        "One figure", "", 1, 1, "The mesh is one figure.",
        "Shapes that stand side by side, each as tall as a figure: {value}. Several figures were rigged as one; put each in a file of its "
        "own."),
    "not_finite": Limit(
        "Weights are numbers", "", 0, 0, "Every weight is a number.",
        "Vertices whose weights are not numbers: {value}. No program will load this rig; make the weights again."),
    "negative": Limit(
        "No negative weights", "", 1e-6, 1e-3, "No weight is negative.",
        "Weights go down to minus {value}. Such vertices move against their joints; make the weights again."),
    "row_sums": Limit(
        "Weights add up to one", "", 1e-4, 1e-2, "The weights of every vertex add up to one.",
        "The weights of a vertex miss one by {value}. Such vertices lag behind or shrink; normalise the weights."),
    "unweighted": Limit(
        "Every vertex has weights", "", 0, 0, "Every vertex has weights.",
        "Vertices without any weight: {value}. They stay behind when the figure moves."),
    "torn": Limit(
        "Seams stay closed", "%", 0.01, 0.05, "Vertices at one place have the same weights.",
        "{value} of the vertices have other weights than their twins at the same place. Seams will open there."),
    "short_bone": Limit(
        "Bones have a length", "cm", 0.5, 0.2, "Every bone has a length; the shortest has {value}.",
        "A bone has a length of only {value}: it cannot be aimed. Look at: {where}.", least=True),
    "asymmetry": Limit(
        "Left and right bones are equally long", "times", 1.2, 1.8, "The longer bone of a pair is at most {value} as long as the other.",
        "A bone is {value} as long as its twin on the other side. Look at: {where}."),
    "lopsided": Limit(
        "Elbows and knees are half-way", "times", 2.5, 5.0, "Elbows and knees are near the middle of their limbs.",
        "One part of a limb is {value} as long as the other. Look at: {where}."),
    "kinks": Limit(
        "The spine is smooth", "degrees", 55, 65, "From hips to head no joint turns by more than {value}.",
        "Between hips and head the bones turn by {value} at one joint: a joint is off the line of the spine. Look at: {where}."),
    "crossed": Limit(
        "Left is left", "", -0.7, -0.3, "The joints called left are on the figure's left.",
        "Joints called left are not to the figure's left (cosine {value}, should be near -1). Sides may be swapped, or the figure turned. "
        "Look at: {where}."),
    "backward": Limit(
        "Feet point forward", "", -0.3, 0.3, "Both feet point to the front.",
        "A foot points sideways or backwards. Front and back may be swapped. Look at: {where}."),
    "knees_behind": Limit(
        "Knees bend forward", "", 0.05, 0.2, "Knees are on or before the line from hip to ankle.",
        "A knee is behind the line from hip to ankle by {value} of the leg's length: it will bend the wrong way. Look at: {where}."),
    "upside_down": Limit(
        "Head up, feet down", "", 0.0, NEVER, "The head is above the hips and the feet are below.",
        "The head is below the hips or a foot above them. That is right only for a figure that rests in such a pose. Look at: {where}."),
    "outside": Limit(
        "Joints are inside the mesh", "cm", 2.0, 12.0, "Every joint is inside the mesh, or nearly.",
        "A joint is {value} outside the mesh. Look at: {where}."),
    "outside_count": Limit(
        "Few joints are outside", "", 0, 2, "No joint is more than 2 cm outside the mesh.",
        "Joints more than 2 cm outside the mesh: {value}. The skeleton may be shifted, turned or of another size. Look at: {where}."),
    "misfit": Limit(
        "Skeleton fits the weights", "radii", 0.6, 0.72, "Joints are where the mesh bends.",
        "Half of all joints are more than {value} of their limbs away from where the weights bend the mesh. The skeleton does not fit."),
    "off_border": Limit(
        "Each joint is where it bends", "radii", 2.2, 4.5, "Each joint is near the border of what it moves.",
        "A joint is {value} of its limb away from the border of what it moves: the mesh will bend elsewhere than the bone. "
        "Look at: {where}."),
    "unused": Limit(
        "Each joint moves something", "", 3, 8, "Nearly every joint of the body has weights.",
        "Joints of the body that move nothing: {value}. Look at: {where}."),
    "idle_limbs": Limit(
        "No limb is dead", "", 0, 0, "Head, arms and legs all have weights.",
        "Joints that a figure needs and that move nothing: {value}. Look at: {where}."),
    "astray": Limit(
        "Weights are near their bones", "%", 0.25, 0.3, "Joints move what is near their bones.",
        "{value} of a joint's weight lies far from its bones and near others'. Look at: {where}."),
    "wrong_side": Limit(
        "Weights are on their side", "%", 0.15, 0.3, "Weights are on the side of their joints.",
        "{value} of a joint's weight is on the other side of the body. Look at: {where}."),
    "speckled": Limit(
        "Weights are even", "%", 0.03, 0.08, "Weights change evenly over the surface.",
        "On {value} of the surface weights stick out of their neighbours'. The surface will look dented; smooth the weights."),
    "bleed": Limit(
        "Weights stay on their limb", "%", 0.04, 0.15, "No weight lies on a limb that is not its own.",
        "{value} of all weight lies on limbs of other joints (a hand's on the thigh, a leg's on the other leg). Parts will be dragged "
        "along."),
    "stretched": Limit(
        "No tearing in motion", "%", 0.03, 0.08, "In no pose much of the surface is stretched to more than twice its length.",
        "{value} of the surface is stretched to more than twice its length. Worst poses: {where}."),
    "squeezed": Limit(
        "No creasing in motion", "%", 0.03, 0.08, "In no pose much of the surface is squeezed to less than 0.4 of its length.",
        "{value} of the surface is squeezed to less than 0.4 of its length. Worst poses: {where}."),
    "spiked": Limit(
        "No spikes in motion", "%", 0.002, 0.01, "In no pose single vertices stick out like needles.",
        "{value} of the surface is pulled out into needles: single vertices follow another joint than those around them. Smooth the "
        "weights. Worst poses: {where}."),
    "volume": Limit(
        "Volume stays", "%", 0.28, 0.6, "In every pose the figure keeps its volume (the worst change is {value}).",
        "The figure's volume changes by {value}. Limbs collapse or blow up. Worst poses: {where}."),
    "expected_error": Limit(
        "The network is sure", "cm", 3.0, 8.0, "The network expects its joints to be right to {value}.",
        "The network expects its joints to be off by {value} on average. Least certain: {where}."),
}
