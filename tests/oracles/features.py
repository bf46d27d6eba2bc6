"""Features by plain loops over one row at a time."""

from __future__ import annotations


def pooled(ids: list[int], vectors: list[list[float]], pooling: str) -> list[float]:
    """The one vector of a list of ids, padding (0) left out; zeros for an empty list."""
    chosen = [vectors[identity] for identity in ids if identity != 0]
    width = len(vectors[0])
    if not chosen:
        return [0.0] * width
    out = []
    for place in range(width):
        numbers = [vector[place] for vector in chosen]
        if pooling == "max":
            out.append(max(numbers))
        else:
            total = 0.0
            for number in numbers:
                total += number
            out.append(total / len(numbers) if pooling == "mean" else total)
    return out


def padded(lists: list[list[int]]) -> list[list[int]]:
    """Lists of one length: the longest's, at least 1, zeros on the right."""
    longest = 1
    for row in lists:
        longest = max(longest, len(row))
    return [row + [0] * (longest - len(row)) for row in lists]


def list_ids(train: list[list[str]], row: list[str], longest: int) -> list[int]:
    """The ids of a row's values: from 2 on in the order of train's values, 1 for a value that train lacks."""
    known: list[str] = []
    for other in train:
        for value in other[-longest:]:
            if value not in known:
                known.append(value)
    known.sort()
    return [known.index(value) + 2 if value in known else 1 for value in row[-longest:]]


def vector_rows(words: list[str], made: dict[str, list[float]]) -> list[list[float]]:
    """Zeros for padding; for the unknown id and values without a vector the mean of the others'; else the own."""
    known = [made[word] for word in words if word in made]
    mean = []
    for place in range(len(known[0])):
        total = 0.0
        for vector in known:
            total += vector[place]
        mean.append(total / len(known))
    return [[0.0] * len(mean), mean] + [made.get(word, mean) for word in words]


def scale(train: list[float]) -> tuple[float, float]:
    """Mean and deviation (of the population)."""
    mean = sum(train) / len(train)
    return mean, (sum((number - mean) ** 2 for number in train) / len(train)) ** 0.5
