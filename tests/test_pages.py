"""Pages: documents in and out, cutting, order, scoring, finding, reading."""

import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from hwrlib import Recognizer
from hwrlib.batch import read_pages
from hwrlib.metrics import cer
from hwrlib.pages import Line, Page, find_documents, find_lines, load_page
from hwrlib.pages.classical import find_lines_classically, skew
from hwrlib.pages.curves import join, ridges, trace
from hwrlib.pages.cut import cut_line
from hwrlib.pages.examples import Example, crop
from hwrlib.pages.export import to_onnx
from hwrlib.pages.find import Network
from hwrlib.pages.maps import DEPTH
from hwrlib.pages.network import LineNetwork, finished
from hwrlib.pages.order import in_reading_order
from hwrlib.pages.scoring import score_page
from hwrlib.pages.xml import DocumentError
from hwrlib.runs.pages import averaged_weights, train
from hwrlib.sets.labels import SPLITS
from hwrlib.sources import prepare_pages
from hwrlib.sources.__main__ import main as sources_main
from hwrlib.synthetic.pages import render_page

SUFFIXES = (".alto.xml", ".page.xml")


@pytest.fixture(scope="module")
def register():
    return render_page(0, rows=6)


@pytest.fixture(scope="module")
def names():
    return Recognizer.pretrained("names")


def straight(x, y, width, *, height=20, **about):
    baseline = np.array([[x, y], [x + width, y]], float)
    polygon = np.array([[x, y - height], [x + width, y - height], [x + width, y + 5], [x, y + 5]], float)
    return Line(baseline, polygon, **about)


def saved(page, folder, suffix, name="page.png"):
    cv2.imwrite(str(folder / name), page.image)
    return Page(page.width, page.height, page.lines, name=name, image=page.image).save(folder / f"page{suffix}")


# Documents --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_again(register, tmp_path, suffix):
    page, faults = load_page(saved(register, tmp_path, suffix))
    assert not faults and page.text == register.text and (page.width, page.height) == (register.width, register.height)
    for line, true in zip(page.lines, register.lines):
        assert np.abs(line.baseline - true.baseline).max() <= 0.5 and np.abs(line.polygon - true.polygon).max() <= 0.5
    assert len({line.region for line in page.lines}) == len({line.region for line in register.lines})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_coordinates_follow_an_image_that_was_scaled_down(register, tmp_path, suffix):
    path = saved(register, tmp_path, suffix)
    cv2.imwrite(str(tmp_path / "page.png"), cv2.resize(register.image, None, fx=0.5, fy=0.5))
    page, _ = load_page(path)
    assert np.abs(page.lines[0].baseline - register.lines[0].baseline / 2).max() < 1


def test_texts_survive_whatever_characters_they_hold(tmp_path):
    texts = ["l'été & <b>\"", "a\x00b\ud800c", "  deux  espaces ", "", "𝕏 ç"]
    page = Page(100, 200, [straight(5, 30 * k + 30, 80, text=text) for k, text in enumerate(texts)], name="p.png")
    page.image = np.full((200, 100), 255, np.uint8)
    for suffix in SUFFIXES:
        again, faults = load_page(saved(page, tmp_path, suffix))
        expected = [" ".join(text.replace("\x00", "").replace("\ud800", "").split()) for text in texts]
        assert [" ".join(line.text.split()) for line in again.lines] == expected and not faults
    ElementTree.fromstring(page.to_hocr())


def test_a_page_names_its_words_in_all_formats(register, names):
    page = names.read_page(register.image, lines=register.lines[:3])
    for document in (page.to_alto(), page.to_pagexml(), page.to_hocr()):
        root = ElementTree.fromstring(document)
        content = [e.get("CONTENT") or e.text for e in root.iter() if e.tag.endswith(("String", "Unicode", "span"))]
        assert set(" ".join(page.text.split()).split()) <= set(filter(None, content))
    assert 'WC="' in page.to_alto() and 'conf="' in page.to_pagexml() and "x_wconf" in page.to_hocr()


def test_an_unknown_suffix_is_rejected(register, tmp_path):
    with pytest.raises(ValueError, match=r"\.alto\.xml"):
        register.save(tmp_path / "page.docx")


ALTO = """<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description><MeasurementUnit>{unit}</MeasurementUnit>
<sourceImageInformation><fileName>{image}</fileName></sourceImageInformation></Description><Layout>
<Page WIDTH="{width}" HEIGHT="100"><PrintSpace><TextBlock ID="b">{lines}</TextBlock></PrintSpace></Page></Layout></alto>"""
TEXTLINE = '<TextLine ID="{id}" BASELINE="{baseline}" HPOS="5" VPOS="10" WIDTH="60" HEIGHT="20">{inner}</TextLine>'
WORDS = '<String CONTENT="deux"/><SP/><String CONTENT="mots"/><HYP CONTENT="-"/>'


def alto(folder, *, unit="pixel", image="p.png", width=100, baseline="5 30 65 30", inner=WORDS, name="p.xml"):
    cv2.imwrite(str(folder / "p.png"), np.full((100, 100), 255, np.uint8))
    lines = TEXTLINE.format(id="l", baseline=baseline, inner=inner)
    (folder / name).write_text(ALTO.format(unit=unit, image=image, width=width, lines=lines))
    return folder / name


def test_alto_of_other_programs(tmp_path):
    for baseline in ("5 30 65 30", "5,30 65,30", "30", "30.0"):
        page, faults = load_page(alto(tmp_path, baseline=baseline))
        assert page.text == "deux mots-" and not faults
        assert page.lines[0].baseline.tolist() == [[5, 30], [65, 30]] and page.lines[0].box == (5, 10, 65, 30)


def test_the_image_may_be_named_wrongly_if_it_lies_beside(tmp_path):
    assert load_page(alto(tmp_path, image="../../etc/passwd"))[0].name == "p.png"
    assert load_page(alto(tmp_path, image="C:\\scans\\p.png"))[0].name == "p.png"


@pytest.mark.parametrize(
    "fault, message",
    [
        (dict(unit="mm10"), "pixels"),
        (dict(width=300), "300 x 100 px"),
        (dict(width="many"), "no size"),
        (dict(image="other.png", name="q.xml"), "not beside it"),
        (dict(image="/etc/hostname", name="q.xml"), "not beside it"),
    ],
)
def test_documents_that_cannot_be_used_say_why(tmp_path, fault, message):
    with pytest.raises(DocumentError, match=message):
        load_page(alto(tmp_path, **fault))


@pytest.mark.parametrize(
    "baseline, fault",
    [
        ("", "no baseline"),
        ("5 30 65", "pairs"),
        ("5 30 nan 30", "pairs"),
        ("5 30 x 30", "could not convert"),
        (" ".join(["1 1"] * 1_000_000), "more than"),
        ("5 30 5 30", "no extent"),
    ],
)
def test_a_broken_line_costs_only_itself(tmp_path, baseline, fault):
    page, faults = load_page(alto(tmp_path, baseline=baseline))
    assert not page.lines and len(faults) == 1 and fault in faults[0]


def test_outlines_outside_the_image_are_cut_or_left_out(tmp_path):
    outside = '<Shape><Polygon POINTS="500 500 600 500 600 600"/></Shape>'
    assert "outside" in load_page(alto(tmp_path, inner=outside))[1][0]
    partly = '<Shape><Polygon POINTS="-50 10 65 10 65 1000 -50 1000"/></Shape>'
    assert load_page(alto(tmp_path, inner=partly))[0].lines[0].box == (0, 10, 65, 100)


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><alto>&b;</alto>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><alto>&x;</alto>'


@pytest.mark.parametrize(
    "text", [BOMB, EXTERNAL, "", "\x00", "<alto>", "<html/>", "not XML", '<?xml version="1.0" encoding="x"?><a/>']
)
def test_hostile_xml_is_refused(tmp_path, text):
    (tmp_path / "p.xml").write_text(text)
    with pytest.raises(DocumentError, match=r"p\.xml"):
        load_page(tmp_path / "p.xml")


PAGE = """<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15">
<Page imageFilename="p.png" imageWidth="100" imageHeight="100"><ReadingOrder><OrderedGroup id="g">
<RegionRefIndexed index="1" regionRef="r"/><RegionRefIndexed index="0" regionRef="q"/></OrderedGroup></ReadingOrder>
<TextRegion id="r">{0}</TextRegion><TextRegion id="q">{1}</TextRegion></Page></PcGts>"""
PAGE_LINE = """<TextLine id="{0}" custom="readingOrder {{index:{1};}}"><Coords points="5,{2} 90,{2} 90,{3}"/>
<Baseline points="5,{3} 90,{3}"/><TextEquiv index="1"><Unicode>no</Unicode></TextEquiv>
<TextEquiv index="0"><Unicode>{0}</Unicode></TextEquiv></TextLine>"""


def test_pagexml_follows_the_documents_reading_order(tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), np.full((100, 100), 255, np.uint8))
    regions = [
        "".join(PAGE_LINE.format(f"{name}{k}", k, y + 9 * k, y + 9 * k + 8) for k in (1, 0))
        for name, y in (("r", 10), ("q", 50))
    ]
    (tmp_path / "p.xml").write_text(PAGE.format(*regions))
    assert load_page(tmp_path / "p.xml")[0].text == "q0\nq1\n\nr0\nr1"


def test_documents_about_a_set_are_not_pages(tmp_path):
    for name in ("mets.xml", ".hidden.xml", "sub/p.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("<a/>")
    assert [path.name for path in find_documents(tmp_path)] == ["p.xml"]
    with pytest.raises(FileNotFoundError):
        find_documents(tmp_path / "none")


# Cutting, order, scoring ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0, 8, -20, 90])
def test_a_cut_is_straight_whatever_the_baselines_direction(angle):
    page, t = np.full((600, 600), 255, np.uint8), np.radians(angle)
    along, across = np.array([np.cos(t), np.sin(t)]), np.array([np.sin(t), -np.cos(t)])
    start = np.array([300, 300]) - 150 * along
    cv2.line(page, *(tuple(np.round(start + s * along + 10 * across).astype(int).tolist()) for s in (20, 280)), 0, 3)
    baseline = np.array([start, start + 300 * along])
    polygon = np.array([start + s * along + up * across for s, up in ((0, 20), (300, 20), (300, -8), (0, -8))])
    image, place = cut_line(page, Line(baseline, polygon))
    rows, columns = np.nonzero(image < 128)
    assert np.ptp(rows) <= 6 and np.ptp(columns) == pytest.approx(262, abs=4)
    assert columns.min() - place == pytest.approx(20, abs=3)


def test_neighbours_outside_the_outline_become_paper():
    page = np.full((100, 200), 200, np.uint8)
    cv2.line(page, (0, 38), (199, 38), 0, 2)  # a line above
    image, _ = cut_line(page, straight(10, 60, 150))
    assert image.min() == 200


def columns_of(*places):
    return [straight(x, y, width, text=str(k)) for k, (x, y, width) in enumerate(places)]


def test_columns_are_read_one_after_the_other():
    lines = columns_of((10, 30, 300), (10, 70, 100), (180, 72, 100), (10, 100, 100), (180, 102, 100), (10, 140, 300))
    assert [line.text for line in in_reading_order(lines[::-1])] == ["0", "1", "3", "2", "4", "5"]


def test_a_wide_gap_begins_a_new_block():
    lines = in_reading_order(columns_of((10, 30, 300), (10, 60, 300), (10, 90, 300), (10, 200, 300)))
    assert [line.region for line in lines] == ["block_1"] * 3 + ["block_2"]
    assert in_reading_order([]) == []


def test_score_counts_lost_invented_and_merged_lines():
    true = [np.array([[0, y], [100, y]], float) for y in (20, 60, 100)]
    assert score_page(true, true) == (1, 1, 1)
    assert score_page(true[:2], true).recall == pytest.approx(2 / 3)
    assert score_page([*true, np.array([[300, 20], [400, 20]])], true).precision == pytest.approx(3 / 4)
    halves = [np.array([[0, 20], [45, 20]]), np.array([[55, 20], [100, 20]])]
    assert score_page([*halves, *true[1:]], true).precision == pytest.approx(3 / 4)
    assert score_page([], true).f == 0 and score_page([], []).f == 1 and score_page(true, []).f == 0


def test_score_tolerates_a_quarter_of_the_distance_between_lines():
    true = [np.array([[0, y], [100, y]], float) for y in (40, 80, 120)]
    assert score_page([curve + (0, 9) for curve in true], true).f == 1
    assert score_page([curve + (0, 20) for curve in true], true).f == pytest.approx(0.5)


def test_pieces_of_a_line_are_joined_unless_the_map_says_that_they_end():
    strength, ends = np.zeros((40, 200)), np.zeros((40, 200))
    strength[20, 10:90], strength[20, 100:190] = 0.9, 0.9
    curves = trace(ridges(strength, 0.3), strength)
    for curve in curves:
        curve.above, curve.below = 8.0, 4.0
    assert len(curves) == 2 and len(join(list(curves), ends)) == 1
    ends[18:23, 88:91] = ends[18:23, 99:102] = 0.9
    assert len(join(list(curves), ends)) == 2


# Finding and reading ----------------------------------------------------------------------------------------------------


def test_onnx_computes_the_same_maps(tmp_path):
    torch.manual_seed(0)
    network = LineNetwork().eval()
    ink = np.random.default_rng(0).integers(0, 255, (90, 130), np.uint8)
    maps = Network(to_onnx(network, tmp_path / "n.onnx"))(ink)
    height, width = (-(-side // DEPTH) * DEPTH for side in ink.shape)
    padded = torch.zeros(1, 1, height, width)
    padded[0, 0, :90, :130] = torch.from_numpy(ink) / 255
    with torch.no_grad():
        expected = finished(network(padded))[0].numpy()[:, :23, :33]
    assert maps.shape == (4, 23, 33) and np.abs(maps - expected).max() < 0.5 and np.abs(maps - expected).mean() < 0.05


def test_pieces_and_their_maps_belong_together(register):
    """Where the target says that a baseline is, ink stands above it and little below."""
    example, random = Example.of(register), np.random.default_rng(0)
    found = []
    for _ in range(20):
        ink, target, known = crop([example, example], random)
        assert ink.shape == (512, 512) and target.shape == (4, 128, 128) and known.all()
        rows, columns = np.nonzero(target[0] > 0.9)
        small = cv2.resize(ink, (128, 128), interpolation=cv2.INTER_AREA).astype(float)
        above = [small[max(row - 6, 0) : row, column].mean() for row, column in zip(rows, columns) if row > 6]
        below = [small[row + 3 : row + 9, column].mean() for row, column in zip(rows, columns) if row < 119]
        found += [np.mean(above) > 2 * np.mean(below)] if len(above) > 50 and len(below) > 50 else []
    assert len(found) > 10 and np.mean(found) > 0.8


def test_training_resumes_to_the_same_weights(register, tmp_path):
    pages = [register]
    train(pages, tmp_path / "once.pth", steps=3, every=1, batch=2)
    with pytest.raises(KeyboardInterrupt):
        train(pages, tmp_path / "twice.pth", steps=3, every=1, batch=2, on_step=interrupt_at(1))
    train(pages, tmp_path / "twice.pth", steps=3, every=1, batch=2)
    once, twice = (averaged_weights(tmp_path / f"{name}.pth") for name in ("once", "twice"))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def interrupt_at(step):
    def stop(number, value):
        if number == step:
            raise KeyboardInterrupt

    return stop


def baselines(lines):
    return [line.baseline for line in lines]


@pytest.mark.parametrize("options", [{}, dict(skew=-6), dict(columns=1), dict(columns=3, rows=5)])
def test_lines_of_a_register_are_found_in_order(options):
    page = render_page(3, **options)
    found = find_lines(page.image)
    assert score_page(baselines(found), baselines(page.lines)).f > 0.95
    assert len(found) == len(page.lines)
    for line, true in zip(found, page.lines):
        assert np.abs(line.baseline[[0, -1]].mean(axis=0) - true.baseline[[0, -1]].mean(axis=0)).max() < 25


def test_the_classical_method_finds_one_column(register):
    page = render_page(1, columns=1, skew=3.0)
    found = find_lines_classically(page.image)
    assert score_page(baselines(found), baselines(page.lines)).recall > 0.8
    small = np.zeros((200, 200), np.float32)
    for y in range(20, 180, 20):
        cv2.line(small, (0, y), (199, y + 14), 1, 3)
    assert skew(small) == pytest.approx(4, abs=0.5)


def test_a_page_is_read(register, names):
    page = names.read_page(register.image)
    assert cer([register.text], [page.text]) < 0.1 and not page.notes
    line = page.lines[1]
    assert line.text == line.reading.text and 0 <= line.reading.confidence <= 1
    length = np.hypot(*(line.baseline[-1] - line.baseline[0]))
    assert -20 <= line.reading.words[0].start < line.reading.words[-1].end <= length + 20


def cat():
    """A picture without writing: soft blobs and whiskers."""
    random, image = np.random.default_rng(0), np.full((700, 900), 120, np.uint8)
    for _ in range(40):
        cv2.circle(
            image, tuple(random.integers(0, 900, 2).tolist()), int(random.integers(20, 150)), int(random.integers(255)), -1
        )
    return cv2.GaussianBlur(image, (0, 0), 5)


def printed():
    image = np.full((800, 1000), 250, np.uint8)
    for row in range(16):
        cv2.putText(
            image, "Printed text 1234, quickly set in type.", (40, 60 + 44 * row), cv2.FONT_HERSHEY_TRIPLEX, 1, 20, 1
        )
    return image


@pytest.mark.parametrize(
    "picture, sentence",
    [
        (lambda register: np.full((900, 700), 220, np.uint8), "No line of writing"),
        (lambda register: np.full((1, 1), 0, np.uint8), "No line of writing"),
        (lambda register: cat(), "No line of writing|confidence"),
        (lambda register: printed(), "No line of writing|confidence"),
        (lambda register: np.ascontiguousarray(register.image[::-1, ::-1]), "upside down"),
    ],
)
def test_a_page_that_is_none_gets_a_sentence(register, names, picture, sentence):
    page = names.read_page(picture(register))
    assert len(page.notes) == 1 and re.search(sentence, page.notes[0])
    ElementTree.fromstring(page.to_alto())


@pytest.mark.parametrize("size", [(3, 2000), (2000, 3), (17, 17), (40, 600)])
def test_odd_sizes_do_no_harm(size):
    image = np.full(size, 255, np.uint8)
    image[len(image) // 2] = 0
    assert isinstance(find_lines(image), list)


def test_a_crop_of_two_lines_is_reported(register, names):
    """Not always: names often stand beside print, and `names` may read the lower line and be sure of it."""
    crops = []
    for page in [render_page(number, columns=1, rows=12) for number in range(4)]:
        for first, second in zip(page.lines[1:-1], page.lines[2:]):
            (left, top, right, _), (_, _, other, bottom) = first.box, second.box
            crops.append(page.image[int(top) : int(bottom), int(left) : int(max(right, other))])
    with pytest.warns(UserWarning, match="images seem to hold two lines of writing .number"):
        reported = [reading.holds_two_lines for reading in names.read(crops)]
    assert sum(reported) >= 0.25 * len(crops)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        singly = names.read([cut_line(register.image, line).image for line in register.lines])
    assert not any(reading.holds_two_lines for reading in singly)


# Importing, and reading in bulk ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transcribed(tmp_path_factory):
    """Six transcribed pages in two folders, in both formats, one of them broken; and two lines with a .gt.txt file."""
    folder = tmp_path_factory.mktemp("transcribed")
    for number in range(6):
        page = render_page(number, columns=1, rows=3)
        page.lines[1] = replace(page.lines[1], text="¬" + page.lines[1].text)
        page.lines[2] = replace(page.lines[2], text="#" if number == 0 else page.lines[2].text)
        place = folder / ("first" if number < 3 else "second")
        place.mkdir(exist_ok=True)
        page.name = f"p{number}.png"
        cv2.imwrite(str(place / page.name), page.image)
        page.save(place / f"p{number}{SUFFIXES[number % 2]}")
    (folder / "second" / "broken.xml").write_text("<alto>")
    for name in ("single", "lone"):
        (folder / f"{name}.gt.txt").write_text("MARTIN\n")
    cv2.imwrite(str(folder / "single.png"), cut_line(page.image, page.lines[0]).image)
    return folder


def test_pages_become_lines_with_a_report(transcribed, tmp_path):
    (tmp_path / "signs.csv").write_text("sign,becomes\n¬,\n#,(skip)\n")
    report = prepare_pages(transcribed, tmp_path / "set", conventions=tmp_path / "signs.csv", validation=0.2, test=0.2)
    rows = pd.concat(pd.read_csv(tmp_path / "set" / f"{split}.csv") for split in SPLITS)
    assert len(rows) == 6 * 4 + 1 - 1 and "MARTIN" in set(rows["IDENTITY"]) and not rows["IDENTITY"].str.contains("¬").any()
    assert report.splits["table"].left_out == {"sign '#'": 1}
    assert report.refused == {"pages that cannot be used": 1, "texts without an image": 1}
    assert "broken.xml: not a well-formed XML document" in str(report) and len(report.faults) == 2
    per_split = [set(pd.read_csv(tmp_path / "set" / f"{split}.csv")["PAGE"]) for split in SPLITS]
    assert not per_split[0] & per_split[1] and not per_split[1] & per_split[2] and not per_split[0] & per_split[2]
    image = cv2.imread(str(next((tmp_path / "set" / "train").rglob("line_001.png"))), cv2.IMREAD_GRAYSCALE)
    assert 20 < len(image) <= 128 and image.shape[1] > 2 * len(image) and image.min() < 120


def test_writers_stay_in_one_split(transcribed, tmp_path):
    table = tmp_path / "writers.csv"
    table.write_text("page,writer\n" + "".join(f"p{n}{SUFFIXES[n % 2][:-4]},w{n // 2}\n" for n in range(6)))
    report = prepare_pages(transcribed, tmp_path / "set", writers=table, validation=0.3, test=0.3)
    writers = [set(pd.read_csv(tmp_path / "set" / f"{split}.csv")["WRITER"]) for split in SPLITS]
    assert sorted(map(len, writers)) == [1, 1, 1] and len(set.union(*writers)) == 3
    assert report.splits["table"].left_out == {"page that the table of writers does not name": 1}


def test_an_import_that_cannot_work_says_why(transcribed, tmp_path, capsys):
    for folder, options, message in (
        (tmp_path, {}, "no line with a text"),
        (transcribed, dict(group="book"), "group must be"),
        (transcribed, dict(validation=0.9), "sum to less than 1"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare_pages(folder, tmp_path / "set", **options)
    assert sources_main(["pages", str(tmp_path / "none"), "--out", str(tmp_path / "set")]) == 2
    assert "none" in capsys.readouterr().err


@pytest.mark.parametrize("form, suffix", [("txt", ".txt"), ("alto", ".alto.xml"), ("page", ".page.xml"), ("hocr", ".hocr")])
def test_pages_are_read_in_bulk(transcribed, tmp_path, form, suffix):
    report = read_pages(transcribed / "first", tmp_path / "out", form=form, model="names")
    assert (report.read, report.before, report.failed) == (3, 0, [])
    assert sorted(path.name for path in (tmp_path / "out").glob("*" + suffix)) == [f"p{n}{suffix}" for n in range(3)]
    (tmp_path / "out" / f"p1{suffix}").unlink()
    again = read_pages(transcribed / "first", tmp_path / "out", form=form, model="names")
    assert (again.read, again.before) == (1, 2)


def test_a_broken_page_stops_nothing(tmp_path):
    page = render_page(0, columns=1, rows=2)
    cv2.imwrite(str(tmp_path / "good.png"), page.image)
    (tmp_path / "bad.png").write_bytes(b"no image")
    report = read_pages(tmp_path, tmp_path / "out", model="names", jobs=2)
    assert report.read == 1 and [name for name, _ in report.failed] == ["bad.png"]
    assert "bad.png" in (tmp_path / "out" / "errors.csv").read_text()


def test_two_images_cannot_become_one_document(tmp_path):
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((50, 50), 255, np.uint8))
    with pytest.raises(ValueError, match="both become"):
        read_pages(tmp_path, tmp_path / "out", model="names")
    with pytest.raises(ValueError, match="alto"):
        read_pages(tmp_path, tmp_path / "out", form="docx")
