"""What the paper says and what Vicinal does instead, each as a difference of two configurations with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence

from .paper import name_of
from .results import Result
from .scoring import Interval, Scores, difference

Key = tuple[str, str]  # grid and key of a Result


def _paper(cast: str, kept: int | None = None, inside: bool = False) -> Key:
    return ("paper", name_of(cast, kept, inside))


def _ours(spec: str) -> Key:
    return ("vicinal", spec)


def _alone(projection: str) -> Key:
    return ("reference", f"{projection}, f32")


@dataclass(frozen=True)
class Claim:
    """`one` is better than `other`; with a margin: loses less than that many percent against it."""

    text: str
    one: Key
    other: Key
    margin: float = 0.0


@dataclass(frozen=True)
class Column:
    """What a difference is measured on: one or several tasks, by nDCG@10 or by recall@10."""

    title: str
    tasks: Sequence[str]
    judged: bool


WHOLE = _paper("f32")
COLUMNS = (
    Column("SciFact, nDCG@10", ("scifact",), True),
    Column("three judged sets, nDCG@10", ("scifact", "packages", "glosses"), True),
    Column("SciFact by WordLlama, nDCG@10", ("wordllama",), True),
    Column("debian, recall@10", ("debian",), False),
    Column("fashion, recall@10", ("fashion",), False),
)


def sections() -> list[tuple[str, list[Claim]]]:
    int8, wrapped = "int8 clipped", "int8 wrapped"
    best_codes = "i4 | flat | rerank(f16, 3x)"
    return [
        ("float8 loses less than 0.3 % for 4x", [
            Claim("paper: e4m3fn", _paper("e4m3fn"), WHOLE, 0.3),
            Claim("paper: e5m2", _paper("e5m2"), WHOLE, 0.3),
            *(Claim(f"ours: {codec}", _ours(f"{codec} | flat"), WHOLE, 0.3) for codec in ("e4m3", "e5m2", "e3m4")),
            Claim("ours, integers: i8", _ours("i8 | flat"), WHOLE, 0.3),
            Claim("ours against paper's, e4m3", _ours("e4m3 | flat"), _paper("e4m3fn")),
        ]),
        ("one float a vector more: decoded documents of length 1 again, as cosine on both sides has it", [
            *(Claim(f"{codec}, 388 bytes, against ours", ("reference", f"{codec}, of length 1 again"), _ours(f"{codec} | flat"))
              for codec in ("e4m3", "e5m2", "e3m4")),
            Claim("e4m3, 388 bytes, against paper's", ("reference", "e4m3, of length 1 again"), _paper("e4m3fn")),
            Claim("e3m4, 388 bytes, against i8", ("reference", "e3m4, of length 1 again"), _ours("i8 | flat")),
            *(Claim(f"ours: {codec} against {codec}(norm=off)", _ours(f"{codec} | flat"), _ours(f"{codec}(norm=off) | flat"))
              for codec in ("e4m3", "e5m2", "e3m4")),
        ]),
        ("PCA to half + float8 (8x) is better than int8 alone (4x)", [
            Claim("paper: fitted out of domain, int8 clipped", _paper("e4m3fn", 50), _paper(int8)),
            Claim("paper: fitted out of domain, int8 wrapped", _paper("e4m3fn", 50), _paper(wrapped)),
            Claim("paper: fitted in domain, int8 clipped", _paper("e4m3fn", 50, True), _paper(int8)),
            Claim("paper: fitted in domain, int8 wrapped", _paper("e4m3fn", 50, True), _paper(wrapped)),
            Claim("ours: pca(d/2) \\| e4m3 against i8", _ours("pca(d/2) | e4m3 | flat"), _ours("i8 | flat")),
            Claim("ours at 8x: pca(d/2) \\| e4m3 against i4", _ours("pca(d/2) | e4m3 | flat"), _ours("i4 | flat")),
        ]),
        ("float8 is better than int8", [
            Claim("paper: e4m3fn against int8 clipped", _paper("e4m3fn"), _paper(int8)),
            Claim("paper: e4m3fn against int8 wrapped", _paper("e4m3fn"), _paper(wrapped)),
            *(Claim(f"ours: {codec} against i8 (rotated, a scale a vector)", _ours(f"{codec} | flat"), _ours("i8 | flat"))
              for codec in ("e4m3", "e3m4")),
        ]),
        ("of the float8 formats", [
            Claim("paper: e4m3fn against e5m2", _paper("e4m3fn"), _paper("e5m2")),
            Claim("ours: e4m3 against e5m2", _ours("e4m3 | flat"), _ours("e5m2 | flat")),
            Claim("ours: e3m4 against e4m3", _ours("e3m4 | flat"), _ours("e4m3 | flat")),
        ]),
        ("query-aware PCA is better than PCA (documents centred)", [
            *(Claim(f"alone, {kept} %", _alone(f"query-aware PCA {kept} %"), _alone(f"PCA {kept} %")) for kept in (75, 50, 25)),
            *(Claim(f"ours: qpca({kept}) against pca({kept}), with {codec}", _ours(f"qpca({kept}) | {codec} | flat"),
                    _ours(f"pca({kept}) | {codec} | flat")) for kept in ("d/2", "d/4") for codec in ("f32", "e4m3")),
        ]),
        ("centring the documents alone is better than centring both sides", [
            *(Claim(f"PCA {kept} %, fitted in domain, f32", _alone(f"PCA {kept} %"), _paper("f32", kept, True))
              for kept in (100, 75, 50, 25)),
            Claim("ours: pca(d/2) \\| e4m3 against paper's PCA 50 % in domain, e4m3fn", _ours("pca(d/2) | e4m3 | flat"),
                  _paper("e4m3fn", 50, True)),
            Claim("ours: pca(d/2) \\| e4m3 against paper's PCA 50 % out of domain, e4m3fn", _ours("pca(d/2) | e4m3 | flat"),
                  _paper("e4m3fn", 50)),
        ]),
        ("int4 and rerank", [
            Claim("i4 loses less than 0.3 % for 7.7x", _ours("i4 | flat"), WHOLE, 0.3),
            Claim("i4, rerank(f16) loses less than 0.3 %", _ours(best_codes), WHOLE, 0.3),
            Claim("i4, rerank(e4m3) against i8", _ours("i4 | flat | rerank(e4m3, 3x)"), _ours("i8 | flat")),
            Claim("i4, rerank(e3m4) against i8", _ours("i4 | flat | rerank(e3m4, 3x)"), _ours("i8 | flat")),
            Claim("i4, rerank(f16) against i8", _ours(best_codes), _ours("i8 | flat")),
            Claim("i4, rerank(f16) against paper's e4m3fn", _ours(best_codes), _paper("e4m3fn")),
            Claim("i4 (7.7x) against paper's e4m3fn (4x)", _ours("i4 | flat"), _paper("e4m3fn")),
            Claim("i4 (7.7x) against paper's int8 clipped (4x)", _ours("i4 | flat"), _paper(int8)),
            Claim("i4 (7.7x) against paper's PCA 50 % + e4m3fn (8x)", _ours("i4 | flat"), _paper("e4m3fn", 50)),
        ]),
        ("product quantisation", [
            Claim("pq(d/8) against b1", _ours("pq(d/8) | flat"), _ours("b1 | flat")),
            Claim("opq(d/8) against b1", _ours("opq(d/8) | flat"), _ours("b1 | flat")),
            Claim("opq(d/8) against pca(d/2) \\| b2", _ours("opq(d/8) | flat"), _ours("pca(d/2) | b2 | flat")),
            Claim("pq(d/2) against i4", _ours("pq(d/2) | flat"), _ours("i4 | flat")),
            Claim("opq(d/2) against i4", _ours("opq(d/2) | flat"), _ours("i4 | flat")),
        ]),
        ("two levels of codes, no second copy of the vectors", [
            Claim("i4, rerank(+i4) against i8", _ours("i4 | flat | rerank(+i4, 3x)"), _ours("i8 | flat")),
            Claim("i4, rerank(+i4) against i4, rerank(f16)", _ours("i4 | flat | rerank(+i4, 3x)"), _ours(best_codes)),
            Claim("b1, rerank(+i8, 10x) loses less than 0.3 %", _ours("b1 | flat | rerank(+i8, 10x)"), WHOLE, 0.3),
        ]),
        ("binary", [
            Claim("paper: binary {0,1} loses less than 5 %", _paper("binary {0,1}"), WHOLE, 5.0),
            Claim("ours: b1 loses less than 5 %", _ours("b1 | flat"), WHOLE, 5.0),
            Claim("b1 against paper's binary", _ours("b1 | flat"), _paper("binary {0,1}")),
            Claim("ours: b2 loses less than 5 %", _ours("b2 | flat"), WHOLE, 5.0),
            Claim("pca(d/2) \\| b2 against b1, the same bytes", _ours("pca(d/2) | b2 | flat"), _ours("b1 | flat")),
            Claim("pca(d/2) \\| i4 against b2, the same bytes", _ours("pca(d/2) | i4 | flat"), _ours("b2 | flat")),
            Claim("pca(d/4) \\| e4m3 against pca(d/2) \\| i4, the same bytes", _ours("pca(d/4) | e4m3 | flat"), _ours("pca(d/2) | i4 | flat")),
            Claim("b1, rerank(e4m3, 10x) loses less than 0.3 %", _ours("b1 | flat | rerank(e4m3, 10x)"), WHOLE, 0.3),
            Claim("b1, rerank(f16, 10x) loses less than 0.3 %", _ours("b1 | flat | rerank(f16, 10x)"), WHOLE, 0.3),
        ]),
    ]


Index = Mapping[tuple[str, str, str], Result]


def by_key(results: Iterable[Result]) -> dict[tuple[str, str, str], Result]:
    return {(result.task, result.grid, result.key): result for result in results}


def measured(claim: Claim, column: Column, results: Index) -> Interval | None:
    """None where one of the two was not measured on every task of the column."""
    sides: list[list[Scores]] = []
    for grid, key in (claim.one, claim.other, WHOLE):
        found = [results.get((task, grid, key)) for task in column.tasks]
        scores = [None if result is None else result.ndcg if column.judged else result.recall for result in found]
        if any(score is None for score in scores):
            return None
        sides.append([score for score in scores if score is not None])
    one, other, whole = sides
    return difference(one, other, whole)


def verdict(interval: Interval, margin: float) -> str:
    """Whether the interval lies on one side of the margin."""
    if interval.low > -margin:
        return "holds"
    return "fails" if interval.high < -margin else "open"
