"""NBestList and their judges: every sentence that is probable enough is found, and each witness
says what it should."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from calibration.evaluation.fit_rescoring import fit_rescoring_weights
from engines.alignment.ctc_score import IMPOSSIBLE, phoneme_scores
from engines.alignment.nbest import most_probable
from engines.alignment.rescoring import Feature, NBestList, agreement
from engines.alignment.text_normalisation import spoken_tokens
from engines.alignment.usual_requests import USUAL_REQUESTS, requests_before
from engines.errors import AttuneError
from engines.interfaces import SentenceScorer
from engines.llm.model import LlamaModel
from engines.llm.sentence_scorer import LlamaSentenceScorer
from engines.llm.sequence import LlamaSequence
from engines.llm.vocabulary import Vocabulary


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 40))
def test_the_most_probable_sentences_are_those_of_all(seed: int, units: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    choices = [
        [(token, float(rng.normal())) for token in range(int(rng.integers(1, 4)))]
        for _ in range(units)
    ]
    every = sorted(
        (sum(value for _, value in some), tuple(token for token, _ in some))
        for some in itertools.product(*choices)
    )
    found = most_probable(choices, most)
    value = {tokens: total for total, tokens in every}
    assert [value[tokens] for tokens in found] == pytest.approx(
        [total for total, _ in every[::-1][:most]]
    )
    assert len(set(found)) == len(found)


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.lists(st.lists(st.integers(1, 5), max_size=9), min_size=1, max_size=6),
    st.integers(1, 30),
)
def test_phonemes_are_scored_as_torch_scores_them(
    seed: int, sentences: list[list[int]], steps: int
) -> None:
    given_steps = (
        torch.randn(steps, 6, generator=torch.Generator().manual_seed(seed)).mul(3).log_softmax(-1)
    )
    arrays = [np.array(sentence, np.uint8) for sentence in sentences]
    expected = -F.ctc_loss(
        given_steps.unsqueeze(1).expand(-1, len(arrays), -1),
        torch.tensor(
            [phoneme for sentence in sentences for phoneme in sentence], dtype=torch.int64
        ),
        torch.full((len(arrays),), steps),
        torch.tensor([len(sentence) for sentence in sentences]),
        reduction="none",
    )
    found = phoneme_scores(given_steps.numpy(), arrays)
    assert found == pytest.approx(expected.clamp(min=IMPOSSIBLE).numpy(), rel=1e-4, abs=1e-3)


def test_a_word_said_once_is_told_from_one_said_twice() -> None:
    """Steps of 1 2 3, each clear: what integrate-and-fire may count wrong, this does not."""
    steps = np.full((9, 4), math.log(0.02), np.float32)
    steps[np.arange(9), [0, 1, 0, 2, 2, 0, 3, 0, 0]] = math.log(0.94)
    once, twice, missing = phoneme_scores(
        steps, [np.array([1, 2, 3]), np.array([1, 2, 2, 3]), np.array([1, 3])]
    )
    assert once > twice + 2
    assert once > missing + 2
    assert len(phoneme_scores(steps, [])) == 0


@pytest.fixture(scope="module")
def vocabulary(llm_path: Path) -> Vocabulary:
    return Vocabulary(llm_path)


@pytest.fixture(scope="module")
def judges(llm_path: Path, vocabulary: Vocabulary) -> Iterator[LlamaSentenceScorer]:
    model = LlamaModel(llm_path)
    judges = LlamaSentenceScorer(model, vocabulary, 2)
    judge = judges.after(requests_before((), vocabulary))
    yield judges
    judges.close()
    judges.close()
    with pytest.raises(RuntimeError, match="closed"):
        judge([(1,)])
    model.close()


@pytest.fixture(scope="module")
def scorer(judges: LlamaSentenceScorer, vocabulary: Vocabulary) -> SentenceScorer:
    return judges.after(requests_before((), vocabulary))


def spoken(vocabulary: Vocabulary, *texts: str) -> list[tuple[int, ...]]:
    return [tuple(spoken_tokens(text, vocabulary)) for text in texts]


def test_what_people_say_is_likelier_than_what_sounds_like_it(
    scorer: SentenceScorer, vocabulary: Vocabulary
) -> None:
    said, heard = (
        spoken(
            vocabulary,
            "How do I cook chicken with onions?",
            "Open the window in the attic.",
            "Invite my brother to dinner.",
        ),
        spoken(
            vocabulary,
            "How do I cook sipping with canyon?",
            "Open the window in in the hearty.",
            "In my my butter to dinner?",
        ),
    )
    for one, other in zip(scorer(said), scorer(heard), strict=True):
        assert one > other + 5


@pytest.mark.slow
def test_likelihoods_are_those_of_one_sentence_after_the_other(
    scorer: SentenceScorer, vocabulary: Vocabulary, llm_path: Path
) -> None:
    """As a plain sequence says it, whatever other sentences were judged beside them."""
    sentences = spoken(
        vocabulary, "Open the window.", "Open the door.", "Open the window now.", "Tea"
    )
    lines = [
        vocabulary.detokenize(spoken_tokens(request, vocabulary)) for request in USUAL_REQUESTS
    ]
    before = "Requests to a voice assistant:\n" + "".join(f"-{line}\n" for line in lines) + "-"
    end = vocabulary.tokenize("\n")[0]
    sequence = LlamaSequence(llm_path, 512, 2, None)
    expected = []
    for sentence in sentences:
        sequence.truncate(0)
        sequence.append_tokens(vocabulary.tokenize(before))
        total = 0.0
        for token in (*sentence, end):
            total += float(torch.from_numpy(sequence.logits().copy()).log_softmax(0)[token])
            sequence.append_tokens([token])
        expected.append(total)
    sequence.close()
    # Batches of other sizes round differently.
    assert scorer(sentences) == pytest.approx(expected, abs=0.3)
    assert [scorer([sentence])[0] for sentence in sentences] == pytest.approx(expected, abs=0.3)


@pytest.mark.slow
def test_the_users_own_requests_make_others_like_them_likelier(
    judges: LlamaSentenceScorer, vocabulary: Vocabulary
) -> None:
    like_them, other = spoken(vocabulary, "Fetch the quince jam, Igor.", "What time is it?")
    usual, own = (
        judges.after(requests_before((), vocabulary)),
        judges.after(
            requests_before(["Fetch the fig jam, Igor.", "Fetch the plum jam, Igor."], vocabulary)
        ),
    )
    before, after = usual([like_them, other]), own([like_them, other])
    assert after[0] > before[0] + 5
    assert abs(after[1] - before[1]) < 3
    # Each judges after its own list, whoever was asked last.
    assert usual([like_them, other]) == before


def test_many_and_long_sentences_are_judged_in_parts(tiny_path: Path) -> None:
    """By a tiny model: how many are judged at once does not depend on what judges."""
    vocabulary, model = Vocabulary(tiny_path), LlamaModel(tiny_path)
    judges = LlamaSentenceScorer(model, vocabulary, 1)
    scorer = judges.after([])
    rng = np.random.default_rng(0)
    many = [tuple(int(token) for token in rng.integers(3, 90, 60)) for _ in range(40)]
    together = scorer([*many, many[0]])
    assert together[0] == together[-1]
    assert together == pytest.approx([*(scorer([one])[0] for one in many), together[0]], abs=1.0)
    with pytest.raises(AttuneError, match="1200 tokens"):
        scorer([(5,) * 1200])
    judges.close()
    model.close()
    vocabulary.close()


def n_best(
    features: list[list[float]], sentences: list[tuple[int, ...]] | None = None
) -> NBestList:
    made = np.zeros((len(features), len(Feature)))
    made[:, : len(features[0])] = features
    return NBestList(
        tuple(sentences or [(number,) for number in range(len(features))]), made, 1.0, ()
    )


def test_what_no_language_model_can_save_is_left_out() -> None:
    found = n_best([[0.0, 0.0, 0.0, -50.0], [-2.9, 0.0, 0.0, 0.0], [-3.1, 0.0, 0.0, 90.0]])
    weights = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert found.narrowed(weights).sentences == ((0,), (1,))
    assert found.narrowed(weights).probabilities(weights).argmax() == 1


@pytest.mark.parametrize(("ahead", "asked"), [(1.4, 2), (1.6, 1)])
def test_nobody_is_asked_about_a_first_pass_that_leads(ahead: float, asked: int) -> None:
    weights = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    found = n_best([[0.0, 0.0, 0.0, -50.0], [-ahead, 0.0, 0.0, 0.0]])
    assert len(found.narrowed(weights).sentences) == 2  # whoever else leads may yet be wrong
    from_first_pass = replace(found, first_pass=(0,))
    assert len(from_first_pass.narrowed(weights).sentences) == asked


def test_a_token_is_as_probable_as_the_sentences_that_have_it() -> None:
    found = n_best([[0.0]] * 3, [(5, 6, 7), (5, 6), (9, 7)])
    assert agreement((5, 6, 7), found, np.array([0.5, 0.3, 0.2])) == pytest.approx([0.8, 0.8, 0.7])


def test_fitted_weights_choose_what_is_right() -> None:
    """Right is what two witnesses say together; a third one talks at random."""
    rng = np.random.default_rng(0)
    lists = []
    for _ in range(300):
        features = np.zeros((6, len(Feature)))
        features[:, :3] = rng.normal(0, 4, (6, 3))
        score = features[:, 0] + 0.5 * features[:, 2] + rng.gumbel(0, 0.3, 6)
        lists.append((features, (score < score.max()).astype(np.int64)))
    weights = fit_rescoring_weights(lists)
    assert weights[2] / weights[0] == pytest.approx(0.5, abs=0.15)
    assert abs(weights[1]) < 0.1 * weights[0]
    right = np.mean(
        [wrong[int((features @ np.array(weights)).argmax())] == 0 for features, wrong in lists]
    )
    assert right > 0.9


def test_weights_stay_where_nothing_speaks_against_them() -> None:
    start = tuple(0.1 * (number + 1) for number in range(len(Feature)))
    same = [(np.ones((3, len(Feature))), np.array([1, 1, 1]))]
    assert fit_rescoring_weights(same, start) == start
    assert fit_rescoring_weights([], ()) == ()
    # The worse sentence is right: it counts for nothing, never against.
    contrary = [(-np.eye(2, len(Feature)), np.array([0, 1]))]
    weights = fit_rescoring_weights(contrary * 50, start)
    assert min(weights) >= 0.0
    assert weights[3] == pytest.approx(start[3], abs=1e-3)


def test_expected_embeddings_are_of_sentences_that_are_as_long(vocabulary: Vocabulary) -> None:
    sentences = tuple(
        tuple(vocabulary.tokenize(text)) for text in (" a light", " the light", " lights")
    )
    features = np.zeros((3, len(Feature)))
    features[:, 0] = np.log([0.5, 0.3, 0.2])
    weights = (1.0, *(0.0 for _ in list(Feature)[1:]))
    found = NBestList(sentences, features, 2.0, ()).expected_embeddings(weights, vocabulary)
    first, second = (vocabulary.rows(sentence) for sentence in sentences[:2])
    np.testing.assert_allclose(found, (5 * first + 3 * second) / 8, atol=1e-6)
