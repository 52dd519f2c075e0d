"""Names for species: what they look like and what they are built like, as "black-throated warbler"."""

from __future__ import annotations

from collections import Counter

_NOUNS = {  # build and bill -> what such birds are called
    ("perching-like", "all-purpose"): ("warbler", "thrush", "wren"),
    ("perching-like", "cone"): ("finch", "bunting", "sparrow"),
    ("perching-like", "dagger"): ("starling", "oriole", "kingfisher"),
    ("perching-like", "hooked"): ("shrike", "vireo"),
    ("perching-like", "curved"): ("thrasher", "sunbird"),
    ("duck-like", "spatulate"): ("duck", "teal"),
    ("duck-like", "dagger"): ("grebe", "loon"),
    ("duck-like", "hooked"): ("merganser", "cormorant"),
    ("duck-like", "cone"): ("coot", "goose"),
    ("long-legged-like", "dagger"): ("heron", "egret"),
    ("long-legged-like", "curved"): ("ibis", "curlew"),
    ("long-legged-like", "spatulate"): ("spoonbill", "stork"),
    ("long-legged-like", "all-purpose"): ("plover", "sandpiper"),
    ("owl-like", "hooked"): ("owl", "hawk"),
    ("owl-like", "all-purpose"): ("nightjar", "potoo"),
    ("upland-ground-like", "cone"): ("quail", "partridge"),
    ("upland-ground-like", "all-purpose"): ("grouse", "rail"),
    ("upland-ground-like", "hooked"): ("pheasant", "caracara"),
    ("upland-ground-like", "curved"): ("jungle fowl",),
}
_COLOURED = {
    "has_throat_color": "throated",
    "has_breast_color": "breasted",
    "has_wing_color": "winged",
    "has_belly_color": "bellied",
    "has_upper_tail_color": "tailed",
    "has_bill_color": "billed",
    "has_nape_color": "naped",
    "has_back_color": "backed",
    "has_eye_color": "eyed",
    "has_leg_color": "legged",
}
_MARKED = {
    ("has_breast_pattern", "spotted"): "spot-breasted",
    ("has_breast_pattern", "striped"): "streak-breasted",
    ("has_wing_pattern", "spotted"): "spot-winged",
    ("has_wing_pattern", "barred"): "bar-winged",
    ("has_tail_shape", "forked_tail"): "fork-tailed",
    ("has_tail_pattern", "striped"): "band-tailed",
    ("has_head_pattern", "masked"): "masked",
    ("has_head_pattern", "eyebrow"): "eyebrowed",
}


def name_all(rows: list[dict[str, str]]) -> list[str]:
    """A name for each species {group: value}; all different, all true, no trait used more often than needed."""
    used, names = Counter(), []
    for row in rows:
        nouns = _NOUNS[row["has_shape"], row["has_bill_shape"]]
        options = [(trait, noun) for trait in _traits(row) for noun in nouns if f"{trait} {noun}" not in names]
        trait, noun = min(options, key=lambda pair: 2 * used[pair[0]] + used[pair[0].split("-")[-1]] + used[pair[1]])
        used.update((trait, trait.split("-")[-1], noun))
        names.append(f"{trait} {noun}")
    return names


def named_groups(name: str) -> set[str]:
    """The groups that a name speaks of; they never vary, or the name would be wrong for some individuals."""
    trait = name.split()[0]
    if trait in _MARKED.values():
        return {group for (group, _), mark in _MARKED.items() if mark == trait}
    end = trait.partition("-")[2]
    if end in ("capped", "crested"):
        return {"has_crown_color", "has_head_pattern"}
    return {"has_crown_color"} if end == "crowned" else {g for g, word in _COLOURED.items() if word == end}


def _traits(row: dict[str, str]) -> list[str]:
    """What strikes the eye first: colours that differ from the back's, a cap or crest, marks."""
    head = {"capped": "capped", "crested": "crested"}.get(row["has_head_pattern"], "crowned")
    found = [f"{row['has_crown_color']}-{head}"] if row["has_crown_color"] != row["has_back_color"] else []
    found += [f"{row[g]}-{end}" for g, end in _COLOURED.items() if row[g] != row["has_back_color"]]
    return found + [mark for (group, value), mark in _MARKED.items() if row[group] == value]
