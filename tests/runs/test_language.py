"""hwrlib.runs.language: fitting, further texts, what a training leaves, and the command."""

import math
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from hwrlib.charset import Charset
from hwrlib.common.progress import logger
from hwrlib.language import CharacterModel, Decoder, Lexicon, Words
from hwrlib.language.beam import BONUS, WEIGHT
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.fit import fit
from hwrlib.runs.language import bits_per_character, fit_language, leave_language, main, read_texts
from hwrlib.sets.dataset import LineDataset
from tests.language.examples import FRENCH, PAIRS

LABELS = ["le chat dort", "la maison est là".replace("à", "a"), "le chien est la", "la table est dans la maison", "Le chat"]


def test_the_likeliest_language_is_chosen():
    held_out = ["la maison est dans la table", "le chien dort dans la maison"]
    language = fit_language(LABELS, FRENCH, held_out=held_out)
    assert isinstance(language, Words) and "maison" in language.trie.texts()
    assert bits_per_character(language, held_out) < bits_per_character(language.language, held_out)
    unknown = fit_language(LABELS, FRENCH, held_out=["pommes vertes", "deux trois quatre"])
    assert isinstance(unknown, CharacterModel)  # no word of the list occurs: the share would only cost


def test_bits_are_the_mean_of_the_logarithms():
    assert bits_per_character(CharacterModel.uniform(Charset("ABC")), ["AB", "CCCC"]) == pytest.approx(2)
    assert bits_per_character(PAIRS, []) == 0


@pytest.mark.parametrize(
    "more", [["un cheval", "des pommes vertes"], {"cheval": 30.0, "pommes": 2, "vertes": 0.5, "un": 100}]
)
def test_further_texts_that_help_are_used(more):
    held_out = ["un cheval est la", "la pommes vertes"]
    plain = fit_language(LABELS, FRENCH, held_out=held_out)
    language = fit_language(LABELS, FRENCH, held_out=held_out, more=more)
    assert bits_per_character(language, held_out) < bits_per_character(plain, held_out) - 0.2
    assert language.log_prob("cheval") > plain.log_prob("cheval")


def test_further_texts_that_mislead_are_not_used():
    held_out = ["la maison est dans la table", "le chien dort"]
    plain = fit_language(LABELS, FRENCH, held_out=held_out)
    language = fit_language(LABELS, FRENCH, held_out=held_out, more=["qqqq zzzz" * 5] * 200)
    assert bits_per_character(language, held_out) == pytest.approx(bits_per_character(plain, held_out))


@pytest.mark.parametrize(
    "more",
    [
        ["🙂🙂", "12 34", "e\u0301te\u0301", "漢字", "x" * 300],
        {"🙂": 1.0, "1234": 2.5, "Été e\u0301te\u0301": 3, "y" * 300: 1e-9},
        ["🙂"],
        {"…": 1e300, "!": 1e-300},
    ],
)
def test_further_texts_of_any_characters_do_no_harm(more):
    for held_out in (["le chat"], ["🙂"], []):
        language = fit_language(LABELS, FRENCH, held_out=held_out, more=more).adapted_to(FRENCH)
        assert math.isfinite(language.log_prob("le chat est la"))


def test_the_fitted_language_holds_what_the_recogniser_can_write():
    more = {"Dort": 5, "漢字": 9, "CHEVAL": 3, "pommes": 9}
    held_out = ["la maison est dans la table", "pommes, cheval"]
    language = fit_language(LABELS, FRENCH, held_out=held_out, order=2, more=more)
    assert isinstance(language, Words) and language.adapted_to(FRENCH) is language
    assert not FRENCH.missing(language.trie.characters()) and "pommes" in language.trie.texts()


def test_labels_without_letters_make_a_language_too():
    language = fit_language(["- -", "'"], FRENCH, held_out=["-"])
    assert isinstance(language, CharacterModel)
    with pytest.raises(ValueError, match="nothing to learn"):
        fit_language(["123"], FRENCH, held_out=["-"])


# Further texts -------------------------------------------------------------------------------------------------------


def test_lines_of_text_are_texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("  la maison \r\n\n\tl'été, 12 🙂\nla maison\n", encoding="utf-8")
    assert read_texts(path) == ["la maison", "l'été, 12 🙂", "la maison"]
    path.write_bytes("été\nnoël\n".encode("latin-1"))
    assert read_texts(path) == ["été", "noël"]
    path.write_bytes("\ufeffété\n".encode())
    assert read_texts(path) == ["été"]


@pytest.mark.parametrize(("name", "separator"), [("words.csv", ","), ("words.CSV", ";"), ("words.tsv", "\t")])
def test_tables_are_texts_with_frequencies(tmp_path, name, separator):
    rows = [
        ("rank", "text", "frequency"),
        ("1", "e\u0301te\u0301", "0.5"),
        ("2", "Le Gall", "1e3"),
        ("3", "été", "2"),
        ("4", "", "7"),
    ]
    path = tmp_path / name
    path.write_text("\n".join(map(separator.join, rows)), encoding="utf-8")
    assert read_texts(path) == {"été": 2.5, "Le Gall": 1000.0}
    path.write_bytes("\n".join(map(separator.join, rows)).replace("e\u0301", "é").encode("latin-1"))
    assert read_texts(str(path)) == {"été": 2.5, "Le Gall": 1000.0}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", "", "empty.txt: no text in this file"),
        ("blank.txt", " \n\t\n\n", "blank.txt: no text"),
        ("empty.csv", "", "empty.csv: the table is empty"),
        ("header.csv", "text,frequency\n", "header.csv: no text in this file"),
        ("blank.csv", "text,frequency\n,3\n", "blank.csv: no text in this file"),
        ("names.csv", "text,count\nANNE,3\n", "names.csv: no column 'frequency'; the columns there are 'text', 'count'"),
        ("names.tsv", "name\tfrequency\nANNE\t3\n", "names.tsv: no column 'text'"),
        (
            "bad.csv",
            "text,frequency\nANNE,3\nLEO,often\n",
            "bad.csv, row 3: the frequency must be a number above 0, not 'often'",
        ),
        ("bad.csv", "text,frequency\nANNE,0\n", "row 2: the frequency must be a number above 0, not '0'"),
        ("bad.csv", "text,frequency\nANNE,-1\n", "row 2"),
        ("bad.csv", "text,frequency\nANNE,nan\n", "row 2"),
        ("bad.csv", "text,frequency\nANNE,inf\n", "row 2"),
        ("bad.csv", "text,frequency\nANNE,\n", "row 2.*not ''"),
    ],
)
def test_bad_texts_are_clear_errors(name, content, message, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / name)


def test_texts_that_are_not_there_are_named(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file of texts"):
            read_texts(path)


# What a training leaves ----------------------------------------------------------------------------------------------


@pytest.fixture
def finished(run, tmp_path):
    """A copy of the finished training's folder."""
    return shutil.copytree(run.folder, tmp_path / "finished")


def test_a_training_leaves_a_language_that_is_read_with(run, recognizer):
    decoder = Decoder.load(run.folder / "best_model.lm")
    assert (
        recognizer.decoder is not None and decoder.language is recognizer.decoder.language is None
    )  # all was right already
    assert (decoder.weight, decoder.bonus) == (WEIGHT, BONUS) and decoder == recognizer.decoder
    assert "language model: validation CER" in (run.folder / "train.log").read_text(encoding="utf-8")


def test_a_checkpoint_is_read_with_the_language_beside_it(finished, draw):
    best = finished / "best_model.pth"
    own = Decoder(Lexicon(["Zoé", "Anne"]), weight=1.0, bonus=0.0)
    own.save(finished / "best_model.lm")
    assert Recognizer.from_checkpoint(best, device="cpu").read(draw("ZOE")).text == "Zoé"
    assert Recognizer.from_checkpoint(best, device="cpu", decoder=None).read(draw("ZOE")).text == "ZOE"
    given_one = Recognizer.from_checkpoint(best, device="cpu", decoder=Decoder(Lexicon(["Anne"])))
    assert given_one.read(draw("ZOE")).text == "Anne"
    (finished / "best_model.lm").write_bytes(b"no language")
    with pytest.raises(ValueError, match="best_model.lm: not a language model of this version"):
        Recognizer.from_checkpoint(best, device="cpu")
    (finished / "best_model.lm").unlink()
    assert Recognizer.from_checkpoint(best, device="cpu").decoder is None


def test_a_resumed_finished_run_leaves_the_same_language(tiny, finished, run):
    before = (finished / "best_model.lm").read_bytes()
    (finished / "best_model.lm").unlink()
    again = fit(tiny(), finished, resume=True)
    assert (finished / "best_model.lm").read_bytes() == before and len(again.history) == len(run.history)


def test_the_order_may_be_zero_and_may_change(tiny, tmp_path):
    config = tiny(epochs=1, train_limit=12, language_order=0)
    fit(config, tmp_path)
    assert (tmp_path / "best_model.pth").is_file() and not list(tmp_path.glob("*.lm"))
    fit(replace(config, language_order=3), tmp_path, resume=True)
    assert Decoder.load(tmp_path / "best_model.lm")


def test_further_texts_are_read_before_the_training_starts(tiny, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    for text, error in (("nowhere.txt", FileNotFoundError), ("empty.txt", ValueError)):
        with pytest.raises(error, match=text):
            fit(tiny(language_text=str(tmp_path / text)), tmp_path / "run")
        assert not list((tmp_path / "run").glob("*.pth"))


def test_further_texts_reach_the_language(tiny, tmp_path, monkeypatch):
    (tmp_path / "names.csv").write_text("text,frequency\nNOÉMIE,3\nZOE,1\n", encoding="utf-8")
    given_texts = []
    monkeypatch.setattr("hwrlib.runs.fit.leave_language", lambda *labels, **options: given_texts.append((labels, options)))
    fit(tiny(epochs=1, train_limit=12, language_order=4, language_text=str(tmp_path / "names.csv")), tmp_path / "run")
    [(given_labels, options)] = given_texts
    assert options == {"order": 4, "more": {"NOÉMIE": 3.0, "ZOE": 1.0}} and len(given_labels[2]) == 12


def test_a_language_is_left_beside_the_model(finished, tiny, caplog):
    validation = LineDataset(tiny().data, "validation", tiny().normalisation)
    validation.texts = ["ANNE" if text == "LEO" else text for text in validation.texts]  # so that a language helps
    caplog.set_level("INFO", "hwrlib")
    path = finished / "best_model.pth"
    recognizer = Recognizer.from_checkpoint(path, decoder=None)
    tuned = leave_language(recognizer, path, ["ANNE", "ZOE"] * 20, validation, order=3, more=["LEO 🙂 12"])
    loaded = Decoder.load(finished / "best_model.lm")
    assert replace(loaded, language=None) == replace(tuned.decoder, language=None)
    assert type(loaded.language) is type(tuned.decoder.language)
    assert f"validation CER {tuned.greedy.cer:.2%}".replace("%", " %") in caplog.text


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch):
    """The command line in this process; the level of the logger is put back."""
    monkeypatch.setattr(logger, "level", logger.level)
    yield lambda *arguments: main([str(argument) for argument in arguments])
    logger.setLevel(logger.level)


def test_the_command_rewrites_the_language_of_a_run(finished, drawn_set, tmp_path, command, capsys):
    (finished / "best_model.lm").write_bytes(b"damaged")
    (tmp_path / "names.csv").write_text("text,frequency\nNOÉMIE,3\n🙂 12,1\n", encoding="utf-8")
    assert command(finished, "--data", drawn_set, "--text", tmp_path / "names.csv", "--order", 3) == 0
    said = capsys.readouterr().out
    assert "best_model.lm" in said and "96 labels, 2 further texts with frequencies" in said
    assert Recognizer.from_checkpoint(finished / "best_model.pth", device="cpu").decoder is not None


def test_the_command_takes_corrections(finished, drawn_set, tmp_path, command, capsys):
    validation = LineDataset(drawn_set, "validation")
    row = ",".join(["validation", validation.names[0], validation.texts[0], "ZZZ", "1", "drop"])
    (tmp_path / "corrections.csv").write_text(f"SPLIT,FILENAME,IDENTITY,READING,SUSPICION,DECISION\n{row}\n")
    assert command(finished, "--data", drawn_set, "--corrections", tmp_path / "corrections.csv") == 0
    assert command(finished, "--data", drawn_set, "--corrections", tmp_path / "nowhere.csv") == 2
    assert "nowhere.csv: no such table of corrections" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("checkpoint", "data", "text", "message"),
    [
        ("nowhere", "drawn", None, "nowhere: no such checkpoint or folder"),
        ("finished", "nodata", None, "nodata/train.csv: no such table"),
        ("finished", "drawn", "none.txt", "none.txt: no such file of texts"),
        ("finished", "drawn", "empty.txt", "empty.txt: no text in this file"),
        ("finished", "drawn", "bad.csv", "bad.csv, row 2: the frequency must be a number"),
        ("empty.txt", "drawn", None, "empty.txt: damaged or cut short"),
    ],
)
def test_the_command_says_what_is_wrong(checkpoint, data, text, message, finished, drawn_set, command, capsys):
    folder = finished.parent
    (folder / "empty.txt").write_text("")
    (folder / "bad.csv").write_text("text,frequency\nANNE,often\n")
    before = (finished / "best_model.lm").read_bytes()
    arguments = [folder / checkpoint, "--data", drawn_set if data == "drawn" else folder / data]
    assert command(*arguments, *(["--text", folder / text] if text else [])) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.startswith("error: ") and said.err.count("\n") == 1 and said.out == ""
    assert (finished / "best_model.lm").read_bytes() == before


def test_the_command_exits_with_status_2(tmp_path):
    command = [sys.executable, "-m", "hwrlib.runs.language", "nowhere", "--data", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stderr.startswith("error: nowhere: ") and ended.stderr.count("\n") == 1
