"""What the README and the pages in `docs/` say is so."""

import inspect
import re
from pathlib import Path

import click
import pytest

import api.client
from api.cli import main
from api.cli.errors import Failure
from api.client import Client
from api.schemas.batches import BatchRequest, ItemRequest, ItemResultView
from api.schemas.jobs import EtaView, JobView, ProgressView, QueueView
from shared.painting.params import PRESETS, StyleParams
from shared.settings import Settings
from shared.states import Role, State
from shared.webhooks.signing import EVENTS
from tests.repository import documents
from tests.repository.documents import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [
        *(ROOT / folder / "README.md" for folder in ("", "api/client", "tests")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
}
README = PAGES["README.md"]
EVERYTHING = "\n".join(PAGES.values())


def first_cells(page: str, heading: str) -> list[str]:
    """Return what stands in the first column of the tables below a heading of a page, up to the next heading."""
    section = re.split(rf"^#+ {re.escape(heading)}$", PAGES[page], flags=re.MULTILINE)[1]
    return re.findall(r"^\| (?!---)(.+?) \|", re.split(r"^#", section, flags=re.MULTILINE)[0], re.MULTILINE)[1:]


def names(text: str) -> set[str]:
    """Return the words between backticks."""
    return {word for code in re.findall(r"`([^`]+)`", text) for word in code.split()}


def anchors(text: str) -> set[str]:
    """Return what a link may name in a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_leads_to_every_page() -> None:
    linked = re.findall(r"\]\((docs/[^)#]+\.md)", README)
    assert {page for page in PAGES if page.startswith("docs/")} == set(linked)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: str) -> None:
    here = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (here / path).resolve() if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_settings_presets_and_parameters_are_documented_as_they_are_declared() -> None:
    for page, expected in documents.rows().items():
        text = page.read_text(encoding="utf-8")
        assert documents.rewritten(text, expected) == text, "python -m tests.repository.documents writes it anew"


def test_every_setting_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `ATELIER_(\w+)`", PAGES["docs/settings.md"], re.MULTILINE)
    assert sorted(documented) == sorted(name.upper() for name in Settings.model_fields)


def test_every_variable_that_a_page_names_is_read() -> None:
    of_the_command = {"URL", "KEY"}
    assert set(re.findall(r"ATELIER_([A-Z]\w+)", EVERYTHING)) <= {name.upper() for name in Settings.model_fields} | (
        of_the_command
    )


def test_every_preset_and_every_parameter_is_documented_and_no_other() -> None:
    assert first_cells("docs/painting.md", "Presets") == [f"`{name}`" for name in PRESETS]
    assert sorted(first_cells("docs/painting.md", "Parameters")) == sorted(f"`{n}`" for n in StyleParams.model_fields)


def test_the_states_and_the_roles_are_documented() -> None:
    assert f"`{' '.join(State)}`" in PAGES["docs/how-it-works.md"]
    assert {f"`{role}`" for role in Role} == set(first_cells("docs/operating.md", "Keys and roles"))


def test_every_event_of_webhooks_is_documented_and_no_other() -> None:
    assert names(" ".join(first_cells("docs/http-api.md", "Webhooks"))) == set(EVENTS)


def test_every_field_of_a_job_is_documented_and_no_other() -> None:
    parts = {"progress": ProgressView, "queue": QueueView, "eta": EtaView}
    fields = {f"{part}.{name}" for part, view in parts.items() for name in view.model_fields}
    assert names(" ".join(first_cells("docs/http-api.md", "The fields of a job"))) == fields | set(JobView.model_fields)


def test_every_field_of_a_batch_and_its_items_is_documented_and_no_other() -> None:
    def documented(heading: str) -> set[str]:
        return names(" ".join(first_cells("docs/batches.md", heading)))

    assert documented("What opens a batch") == set(BatchRequest.model_fields)
    assert documented("An item") == set(ItemRequest.model_fields)
    of_a_batch, of_the_archive = {"counts", "rate_per_min", "eta_s"}, {"file"}
    assert documented("What a batch answers") == of_a_batch | of_the_archive | set(ItemResultView.model_fields)


def test_every_target_of_make_exists_and_those_for_contributors_are_documented() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    documented = set(re.findall(r"(?:^|`|\$ )make ([a-z]+)", EVERYTHING, re.MULTILINE))
    assert documented <= targets
    assert targets - {"clean"} <= documented


def test_every_command_and_option_that_is_documented_exists() -> None:
    mentioned = set(re.findall(r"`atelier ([a-z]+)", EVERYTHING))
    assert mentioned <= set(main.commands)
    for line in re.findall(r"(?:^|run migrate |\w=\$\()atelier (.+?)\)?(?:  +#.*)?$", EVERYTHING, re.MULTILINE):
        name, *words = line.split()
        if name == "is":  # not a command: what `make up` prints
            continue
        command = main.commands[name]
        while isinstance(command, click.Group):
            name, *words = words
            command = command.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line


def test_every_command_is_documented() -> None:
    page = PAGES["docs/using.md"] + PAGES["docs/operating.md"]
    without_a_line = {"preview", "losses", "demo", "up"}  # named beside others, or as targets of make
    assert set(main.commands) - without_a_line <= set(re.findall(r"atelier ([a-z]+)", page))


def test_the_exit_codes_are_documented() -> None:
    def kinds(root: type[Failure]) -> set[type[Failure]]:
        return {root}.union(*(kinds(child) for child in root.__subclasses__()))

    used = {0, click.UsageError.exit_code} | {kind.exit_code for kind in kinds(Failure)}
    assert {int(code) for code in first_cells("docs/using.md", "Output and exit codes")} == used


def test_every_method_of_the_client_is_documented_and_no_other() -> None:
    table = PAGES["docs/using.md"].partition("| for | methods |")[2].partition("\n\n")[0]
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert names(table) == methods


def test_the_exceptions_of_the_client_are_documented() -> None:
    documented = names(" ".join(first_cells("api/client/README.md", "atelier-client")))
    public = {name: getattr(api.client, name) for name in api.client.__all__}
    exceptions = {name for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert documented == exceptions - {"ClientError"}


def test_the_map_has_every_folder_of_the_code_and_no_other() -> None:
    found = set()
    for package in ("api", "worker", "shared", "migrations"):
        folders = [ROOT / package, *(path for path in (ROOT / package).rglob("*") if holds_code(path))]
        found |= {f"{path.relative_to(ROOT).as_posix()}/" for path in folders}
    documented = re.findall(r"^\| `(\w+/[^`]*)` \|", PAGES["docs/contributing.md"], re.MULTILINE)
    assert sorted(documented) == sorted(found)
    of_tests = names(" ".join(first_cells("tests/README.md", "Tests")))
    assert of_tests == {f"{path.name}/" for path in (ROOT / "tests").iterdir() if any(path.rglob("*.py"))}


def holds_code(folder: Path) -> bool:
    """Whether somebody wrote what is in the folder; installing a package leaves others behind."""
    written = {".py", ".html", ".css", ".js"}
    made = folder.name in ("build", "__pycache__") or folder.name.endswith(".egg-info")
    if not folder.is_dir() or made or folder.parent.name == "vendor":
        return False
    return folder.name == "vendor" or any(path.suffix in written for path in folder.iterdir())
