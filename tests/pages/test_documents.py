"""hwrlib.pages: ALTO, PAGE and hOCR, in and out; hostile and broken ones."""

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from hwrlib.pages import Page, find_documents, load_page
from hwrlib.pages.xml import DocumentError
from tests.pages.examples import straight

SUFFIXES = (".alto.xml", ".page.xml")


def saved(page, folder, suffix, name="page.png"):
    cv2.imwrite(str(folder / name), page.image)
    return Page(page.width, page.height, page.lines, name=name, image=page.image).save(folder / f"page{suffix}")


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
