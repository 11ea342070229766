"""The page in a real browser: silent, quiet on the network, usable by keyboard, at home on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bequest.report import write_report
from bequest.report.comparison_page import write_comparison
from bequest.report.folder import read_run
from bequest.report.statement import statement

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(digits_folder) -> Path:
    return write_report(digits_folder)


@pytest.fixture
def opened(browser, report):
    """Opens the page; whatever it logs or asks for, beside itself, fails the test."""
    pages, faults = [], []

    def open_page(width: int = 1280, path: Path = report, **options: object):
        page = browser.new_page(viewport={"width": width, "height": 800}, **options)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url == path.as_uri() or faults.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert faults == []


@pytest.mark.parametrize("width", [320, 360, 390, 800, 1280, 1440])
def test_nothing_is_wider_than_the_screen(opened, width):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_screen_holds_the_answer_and_its_picture(opened, digits_study):
    page = opened()
    assert page.evaluate("document.documentElement.scrollHeight") <= 9000
    ends = page.evaluate(
        """() => ["h1", ".answer", "#picture .panels"].map(
            part => document.querySelector(part).getBoundingClientRect().bottom)"""
    )
    assert ends == sorted(ends)
    assert ends[-1] < 800
    tops = page.locator("#picture .panel .plot").evaluate_all(
        "maps => maps.map(m => m.getBoundingClientRect().top)"
    )
    assert len(tops) == 4
    assert len(set(tops)) == 1
    assert page.locator("#picture .panel").first.locator(".cell").count() == 81


def test_evidence_opens_from_the_contents_and_on_paper(opened):
    page = opened()
    evidence = page.locator("#why-training details.evidence")
    assert evidence.get_attribute("open") is None
    page.locator(".contents a[href='#why-training']").click()
    assert evidence.get_attribute("open") is not None
    assert page.locator("#chart-training").is_visible()
    paper = opened()
    assert not paper.locator("#comparison-cka").is_visible()
    paper.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert paper.locator("#comparison-cka").is_visible()


def test_the_statement_is_copied(opened, digits_folder):
    page = opened()
    page.evaluate("navigator.clipboard.writeText = async text => { window.copied = text }")
    page.get_by_text("What was kept, lost and undecided").click()
    page.click("[data-copy=statement]")
    page.wait_for_function("window.copied !== undefined")
    assert page.evaluate("window.copied") == statement(read_run(digits_folder))


@pytest.mark.parametrize("width", [360, 1440])
def test_a_page_of_several_runs_opens_as_quietly(
    opened, digits_folder, folder_of, partial_study, width, tmp_path
):
    path = write_comparison([digits_folder, folder_of(partial_study)], tmp_path / "comparison.html")
    page = opened(width, path, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".answer").count() == 2
    assert page.locator("#numbers details[open] table").is_visible()


def test_controls_are_hollow_and_others_are_filled(opened):
    page = opened()
    fills = page.evaluate(
        """() => ["hollow", ""].map(kind => [...document.querySelectorAll(
            kind ? ".arm.hollow > use" : ".arm:not(.hollow) > use")].map(e => getComputedStyle(e).fill))"""
    )
    hollow, filled = map(set, fills)
    assert hollow == {"rgb(255, 255, 255)"}
    assert len(filled) == 5
    assert not hollow & filled


def test_a_study_of_theory_and_one_with_holes_open_as_quietly(
    opened, folder_of, theory_study, partial_study, tmp_path
):
    for name, study in (("theory", theory_study), ("partial", partial_study)):
        page = opened(390, study.write(tmp_path / name) and write_report(tmp_path / name))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_dark_and_light_follow_the_system_until_the_switch_says_otherwise(opened):
    def background() -> str:
        return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    page = opened(color_scheme="dark")
    dark = background()
    page.emulate_media(color_scheme="light")
    light = background()
    assert (dark, light) == ("rgb(22, 24, 27)", "rgb(255, 255, 255)")
    page.click("#theme")  # system → light
    page.click("#theme")  # light → dark
    assert (page.inner_text("#theme"), background()) == ("Theme: dark", dark)
    page.reload()
    assert background() == dark
    page.emulate_media(media="print")
    assert background() == light


def test_an_arm_has_one_colour_in_every_chart(opened):
    page = opened()
    seen = page.evaluate(
        """() => [...document.querySelectorAll("[class*='arm-']")].map(e => [
            [...e.classList].find(name => /^arm-[0-9]+$/.test(name)),
            getComputedStyle(e).getPropertyValue("--c"),
        ])"""
    )
    pairs = {(arm, colour) for arm, colour in seen if arm}
    assert len(pairs) == len({arm for arm, _ in pairs}) == len({colour for _, colour in pairs}) == 9


def test_tables_sort_both_ways_and_back_by_keyboard(opened, digits_study):
    page = opened()
    accuracy = {
        m.arm: m.value
        for m in digits_study.measurements
        if m.measure == "accuracy" and m.split == "translated"
    }
    labels = {arm.name: arm.label for arm in digits_study.study.arms}

    def column() -> list[str]:
        return page.locator("table.arms").first.locator("tbody th .arm-name > span").all_inner_texts()

    first = column()
    head = page.locator("table.arms").first.locator("thead th").nth(2)
    best_first = [labels[arm] for arm in sorted(accuracy, key=lambda arm: -accuracy[arm])]
    for expected, direction in ((best_first, "descending"), (best_first[::-1], "ascending")):
        head.locator("button").press("Enter")
        assert [text.split("\n")[0] for text in column()] == expected
        assert head.get_attribute("aria-sort") == direction
    head.locator("button").press("Enter")
    assert column() == first


def test_measures_and_splits_are_chosen_by_keyboard(opened):
    page = opened()
    shown = page.locator("table.arms:visible")
    assert shown.count() == 1
    page.locator("input[name=measure]").first.focus()
    page.keyboard.press("ArrowRight")
    assert "Negative log-likelihood" in page.locator(".tab:visible .caption").first.inner_text()
    assert shown.count() == 1


def test_a_press_on_the_legend_keeps_an_arm_and_fades_the_others(opened):
    page = opened()
    figure = page.locator("#inheritance-profile")
    key = figure.locator(".key").first
    key.press("Enter")
    assert key.get_attribute("aria-pressed") == "true"
    faded = figure.locator(".arm:not(.on)").first
    assert float(faded.evaluate("e => getComputedStyle(e).opacity")) < 0.2
    assert figure.locator(".arm.on").count() > 0
    key.press("Enter")
    assert float(faded.evaluate("e => getComputedStyle(e).opacity")) == 1


def test_marks_and_lines_tell_their_numbers(opened):
    page = opened()
    mark = page.locator("#inheritance-profile use[data-tip]").first
    mark.scroll_into_view_if_needed()
    mark.hover()
    arm = mark.locator("xpath=..").get_attribute("class").split()[1].removeprefix("arm-")
    label = page.locator(f"#inheritance-profile .key[data-arm='{arm}']").inner_text().strip()
    assert label
    assert page.inner_text("#tip") == f"{label}: {mark.get_attribute('data-tip')}"
    page.locator("#why-training summary").first.click()
    plot = page.locator("#chart-training .plot[data-stops]").first
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 1, "y": 60})
    lines = page.inner_text("#tip").split("\n")
    assert lines[0] == "epoch 1"
    assert len(lines) == 10
    numbers = [float(line.split()[-1]) for line in lines[1:]]
    assert numbers == sorted(numbers, reverse=True)
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_the_keyboard_reaches_everything_and_shows_where_it_is(opened):
    page = opened()
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement.matches('.skip')")
    assert {"skip", "theme", "A"} <= reached


def test_the_command_is_copied(opened, digits_study):
    page = opened(permissions=None)
    page.evaluate(
        "document.execCommand = () => { window.copied = document.activeElement.value; return true }"
    )
    page.evaluate(
        "navigator.clipboard && (navigator.clipboard.writeText = async text => { window.copied = text })"
    )
    page.click("[data-copy=command]")
    page.wait_for_function("window.copied !== undefined")
    assert page.evaluate("window.copied") == digits_study.study.command


def test_downloads_are_the_files_they_say(opened):
    page = opened()
    with page.expect_download() as caught:
        page.get_by_role("link", name="arms.csv").click()
    assert caught.value.suggested_filename == "digits-arms.csv"
    assert (
        Path(caught.value.path()).read_text().startswith("measure,arm,role,split,value,low,high,n,reason\n")
    )


def test_all_is_there_without_scripts_and_on_paper(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#inheritance-profile use").count() > 20
    assert page.locator("#theme").is_hidden()
    page.emulate_media(media="print")
    assert page.locator("table.arms").count() == page.locator("table.arms:visible").count() == 3
    assert page.locator(".contents").is_hidden()
