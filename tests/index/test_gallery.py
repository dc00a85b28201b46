"""The three layouts as people really have them, and every fault of a gallery.csv by its line."""

import os
import time
import unicodedata
from pathlib import PurePosixPath

import pytest

from beedex.index.errors import GalleryError
from beedex.index.gallery import GalleryPhoto, scan_gallery


def lay_out(root, *names, content=b""):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_csv(root, text, encoding="utf-8"):
    lay_out(root, "gallery.csv", content=text.encode(encoding))
    return root


def list_families(gallery):
    return {str(photo.path): photo.family for photo in gallery.photos}


def list_ignored(gallery):
    return [str(file.path) for file in gallery.ignored]


def test_first_folder_is_the_family(tmp_path):
    lay_out(tmp_path, "honey/b.JPG", "honey/2024/may/a.png", "mason/c.webp", "mason/d.jpeg")

    gallery = scan_gallery(tmp_path)

    assert gallery.layout == "folders"
    assert list_families(gallery) == {
        "honey/2024/may/a.png": "honey",
        "honey/b.JPG": "honey",
        "mason/c.webp": "mason",
        "mason/d.jpeg": "mason",
    }
    assert gallery.families == {"honey": 2, "mason": 2}
    assert gallery.ignored == ()
    assert gallery.notes == ()


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("bumble12.jpg", "bumble"),
        ("Bumble1.JPG", "Bumble"),
        ("mason_bee-3.png", "mason_bee"),
        ("mason-bee_003.jpeg", "mason-bee"),
        ("mason bee 7.webp", "mason bee"),
        ("bumble (12).jpg", "bumble"),
        ("Wildbiene_Männchen4.jpg", "Wildbiene_Männchen"),
    ],
)
def test_flat_name_is_family_then_number(tmp_path, name, family):
    gallery = scan_gallery(lay_out(tmp_path, name))

    assert gallery.layout == "flat"
    assert list_families(gallery) == {name: family}


@pytest.mark.parametrize("name", ["bumble.jpg", "12.jpg", "_12.jpg", "bumble12b.jpg", "bee2_03.jpg", "-3.png"])
def test_flat_name_without_family_or_number_is_ignored(tmp_path, name):
    gallery = scan_gallery(lay_out(tmp_path, "honey1.jpg", name))

    assert list_ignored(gallery) == [name]
    assert "<family><number>" in gallery.ignored[0].reason


def test_photos_are_sorted_by_path_whatever_the_order_of_the_folder(tmp_path):
    names = [f"{family}/{number}.jpg" for family in ("b", "a b", "a", "A2") for number in (10, 9, 1)]
    lay_out(tmp_path, *names)

    paths = [photo.path for photo in scan_gallery(tmp_path).photos]

    assert paths == sorted(PurePosixPath(name) for name in names)


def test_folders_win_over_loose_photos(tmp_path):
    gallery = scan_gallery(lay_out(tmp_path, "honey/1.jpg", "bumble12.jpg"))

    assert gallery.layout == "folders"
    assert list_families(gallery) == {"honey/1.jpg": "honey"}
    assert list_ignored(gallery) == ["bumble12.jpg"]


def test_folder_without_photos_leaves_a_flat_gallery_flat(tmp_path):
    gallery = scan_gallery(lay_out(tmp_path, "bumble12.jpg", "notes/read.txt"))

    assert gallery.layout == "flat"
    assert list_families(gallery) == {"bumble12.jpg": "bumble"}
    assert list_ignored(gallery) == ["notes/read.txt"]


def test_litter_is_passed_over_and_other_files_are_reported(tmp_path):
    lay_out(tmp_path, "honey/1.jpg", "honey/.hidden.jpg", "honey/Thumbs.db", "__MACOSX/honey/1.jpg", ".git/x.jpg")
    lay_out(tmp_path, "honey/desktop.ini", "honey/notes.txt", "honey/gallery.csv", "read.me")

    gallery = scan_gallery(tmp_path)

    assert list_families(gallery) == {"honey/1.jpg": "honey"}
    assert list_ignored(gallery) == ["honey/gallery.csv", "honey/notes.txt", "read.me"]


def test_photos_of_other_formats_stay_to_be_reported_as_unreadable(tmp_path):
    gallery = scan_gallery(lay_out(tmp_path, "honey/1.HEIC", "honey/2.tif", "honey/3.gif"))

    assert gallery.families == {"honey": 3}


def test_families_that_differ_in_case_are_one_by_the_commonest_spelling(tmp_path):
    lay_out(tmp_path, "Honey/1.jpg", "honey/2.jpg", "honey/3.jpg", "HONEY/4.jpg", "mason/5.jpg")

    gallery = scan_gallery(tmp_path)

    assert gallery.families == {"honey": 4, "mason": 1}
    assert gallery.notes == ("Family 'honey' is also spelled 'HONEY', 'Honey'; taken as one family.",)


def test_families_that_differ_in_unicode_form_are_one(tmp_path):
    composed, parted = (unicodedata.normalize(form, "Hüllen") for form in ("NFC", "NFD"))

    gallery = scan_gallery(lay_out(tmp_path, f"{composed}1.jpg", f"{composed}2.jpg", f"{parted}3.jpg"))

    assert gallery.families == {composed: 3}


def test_root_above_the_gallery_is_noted(tmp_path):
    gallery = scan_gallery(lay_out(tmp_path, "photos/honey/1.jpg", "photos/mason/2.jpg"))

    assert gallery.families == {"photos": 2}
    assert "honey, mason" in gallery.notes[0]


def test_link_loops_end(tmp_path):
    lay_out(tmp_path, "honey/1.jpg", "mason/2.jpg")
    (tmp_path / "honey" / "up").symlink_to(tmp_path)
    (tmp_path / "honey" / "above").symlink_to(tmp_path.parent)
    (tmp_path / "alias").symlink_to("mason")
    (tmp_path / "mason" / "itself").symlink_to("itself")

    gallery = scan_gallery(tmp_path)

    assert list_families(gallery) == {"honey/1.jpg": "honey", "mason/2.jpg": "mason"}
    assert list_ignored(gallery) == ["alias", "honey/above", "honey/up", "mason/itself"]


def test_links_out_of_the_root_are_followed(tmp_path):
    root = lay_out(tmp_path / "root", "honey/1.jpg")
    elsewhere = lay_out(tmp_path / "elsewhere", "2.jpg", "more/3.jpg")
    (root / "mason").symlink_to(elsewhere)
    (elsewhere / "more" / "back").symlink_to(elsewhere)
    (root / "honey" / "4.jpg").symlink_to(elsewhere / "2.jpg")

    gallery = scan_gallery(root)

    assert list(list_families(gallery)) == ["honey/1.jpg", "honey/4.jpg", "mason/2.jpg", "mason/more/3.jpg"]
    assert list_ignored(gallery) == ["mason/more/back"]


def test_dangling_link_stays_to_be_reported_as_unreadable(tmp_path):
    lay_out(tmp_path, "honey/1.jpg")
    (tmp_path / "honey" / "gone.jpg").symlink_to("nowhere.jpg")

    assert scan_gallery(tmp_path).families == {"honey": 2}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every folder")
def test_folder_without_permission_is_reported(tmp_path):
    lay_out(tmp_path, "honey/1.jpg", "mason/2.jpg")
    (tmp_path / "mason").chmod(0)
    try:
        gallery = scan_gallery(tmp_path)
    finally:
        (tmp_path / "mason").chmod(0o700)

    assert list_ignored(gallery) == ["mason"]
    assert "Permission denied" in gallery.ignored[0].reason


def test_names_that_no_report_could_hold_are_ignored(tmp_path):
    lay_out(tmp_path, "honey/1.jpg", "honey/two\nlines.jpg")
    (tmp_path / os.fsdecode(b"honey/\xff\xfe.jpg")).write_bytes(b"")

    gallery = scan_gallery(tmp_path)

    assert gallery.families == {"honey": 1}
    assert list_ignored(gallery) == ["honey/\\udcff\\udcfe.jpg", "honey/two\\nlines.jpg"]


def test_csv_names_photos_families_and_the_rest(tmp_path):
    lay_out(tmp_path, "x/1.jpg", "2.dat", "x/unlisted.jpg")
    write_csv(
        tmp_path,
        "path,family,group,split,species,source,license,credit\n"
        'x/1.jpg,honey,hive 7,train,Apis mellifera,field,CC BY 4.0,"Ann, with love"\n'
        "2.dat,mason,,,,,,\n",
    )

    gallery = scan_gallery(tmp_path)

    assert gallery.layout == "csv"
    assert gallery.photos == (
        GalleryPhoto(path=PurePosixPath("2.dat"), family="mason"),
        GalleryPhoto(
            path=PurePosixPath("x/1.jpg"),
            family="honey",
            group="hive 7",
            split="train",
            species="Apis mellifera",
            source="field",
            license="CC BY 4.0",
            credit="Ann, with love",
        ),
    )
    assert list_ignored(gallery) == ["x/unlisted.jpg"]
    assert gallery.ignored[0].reason == "not in gallery.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_may_have_a_byte_order_mark_and_any_line_ends(tmp_path, encoding, end):
    write_csv(tmp_path, end.join([" Path,FAMILY ", "a/1.jpg, hüllen ", "", ",", "b\\2.jpg,mason", ""]), encoding)

    assert list_families(scan_gallery(tmp_path)) == {"a/1.jpg": "hüllen", "b/2.jpg": "mason"}


def test_csv_row_of_a_missing_file_stays_to_be_reported_as_unreadable(tmp_path):
    write_csv(tmp_path, "path,family\nmissing.jpg,honey\n")

    assert scan_gallery(tmp_path).families == {"honey": 1}


def test_groups_that_span_families_are_noted(tmp_path):
    write_csv(tmp_path, "path,family,group\n1.jpg,honey,1\n2.jpg,mason,1\n3.jpg,mason,2\n")

    gallery = scan_gallery(tmp_path)

    assert gallery.notes[0].startswith("1 of 2 groups in gallery.csv span several families, the first: '1'")


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("", 1, "column path is missing"),
        ("path\nx.jpg\n", 1, "column family is missing"),
        ("path;family\nx.jpg;honey\n", 1, "separated by commas"),
        ("path,family,colour\nx.jpg,honey,red\n", 1, "unknown column 'colour'"),
        ("path,family,colour\nx.jpg,honey,red\n", 1, "group,split,species,source,license,credit"),
        ("path,family,family\nx.jpg,honey,red\n", 1, "comes twice"),
        ("path,family\nx.jpg,honey\ny.jpg\n", 3, "1 fields; expected 2"),
        ("path,family\nx.jpg,honey,bee\n", 2, "3 fields; expected 2"),
        ("path,family\n,honey\n", 2, "path is empty"),
        ("path,family\nx.jpg, \n", 2, "family is empty"),
        ("path,family\n../x.jpg,honey\n", 2, "leads out of the gallery"),
        ("path,family\na/../../x.jpg,honey\n", 2, "leads out of the gallery"),
        ("path,family\n..\\x.jpg,honey\n", 2, "leads out of the gallery"),
        ("path,family\n/etc/passwd,honey\n", 2, "leads out of the gallery"),
        ("path,family\nC:\\x.jpg,honey\n", 2, "leads out of the gallery"),
        ("path,family\n.,honey\n", 2, "leads out of the gallery"),
        ("path,family\nx.jpg,honey\n\ny.jpg,honey\n./x.jpg,mason\n", 5, "labelled in line 2"),
        ('path,family\n"x.jpg"y,honey\n', 2, "not CSV"),
        ('path,family\nx.jpg,"honey\n', 2, "not CSV"),
        ("path,family\nx\0.jpg,honey\n", 2, "unprintable"),
        ('path,family\nx.jpg,"ho\nney"\n', 3, "unprintable"),
    ],
)
def test_csv_faults_are_named_by_line(tmp_path, text, line, fault):
    with pytest.raises(GalleryError) as caught:
        scan_gallery(write_csv(tmp_path, text))

    assert f"gallery.csv, line {line}: " in str(caught.value)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("encoding", "line"), [("latin-1", 3), ("utf-16", 1)])
def test_csv_that_is_not_utf8_is_named_by_line(tmp_path, encoding, line):
    with pytest.raises(GalleryError, match=f"line {line}: not UTF-8"):
        scan_gallery(write_csv(tmp_path, "path,family\n1.jpg,mason\n2.jpg,hüllen\n", encoding))


def test_csv_without_rows_is_no_gallery(tmp_path):
    with pytest.raises(GalleryError, match="no labelled photos"):
        scan_gallery(write_csv(lay_out(tmp_path, "x.jpg"), "path,family\n"))


def test_missing_folder_and_file_are_refused(tmp_path):
    lay_out(tmp_path, "file")

    with pytest.raises(GalleryError, match="does not exist"):
        scan_gallery(tmp_path / "nowhere")
    with pytest.raises(GalleryError, match="is a file"):
        scan_gallery(tmp_path / "file")


@pytest.mark.parametrize("names", [(), ("readme.txt",), ("honey/readme.txt",), ("IMG.jpg", "other.jpg")])
def test_folder_without_labelled_photos_is_refused_with_the_layouts(tmp_path, names):
    with pytest.raises(GalleryError, match="<family>/<photo>, or files named") as caught:
        scan_gallery(lay_out(tmp_path, *names))

    assert all(name in str(caught.value) for name in sorted(names)[:1])


@pytest.mark.slow
def test_many_photos_are_scanned_in_seconds(tmp_path):
    for family in range(100):
        (tmp_path / f"family{family:02}").mkdir()
        for number in range(100):
            (tmp_path / f"family{family:02}" / f"{number}.jpg").touch()

    started = time.perf_counter()
    gallery = scan_gallery(tmp_path)

    assert len(gallery.photos) == 10_000
    assert time.perf_counter() - started < 3
