"""Settings: every error names the setting and the remedy; example, page and code say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.settings import (
    SECTIONS,
    BusinessCentralDoor,
    BusinessCentralSettings,
    Checks,
    DataverseDoor,
    DataverseSettings,
    EngineSettings,
    FsmSettings,
    IfsCloudSettings,
    OperatorDoor,
    Place,
    PostOfficeSettings,
    QueueSettings,
    SalesCockpitSettings,
    Section,
    Settings,
    StoreSettings,
    UserSignIn,
)
from tests.scenarios.doors.world import ENVIRONMENT

ROOT = Path(__file__).parents[3]
NAMES = sorted({str(field.alias) for kind in SECTIONS for field in kind.model_fields.values()})
EVERYTHING = {
    **ENVIRONMENT,
    "CROSSDOCK_SYSTEMS": "dataverse,business_central,postoffice,sales_cockpit,fsm,ifs_cloud",
    "CROSSDOCK_SALES_COCKPIT_URL": "https://cockpit.example",
    "CROSSDOCK_POSTOFFICE_URL": "https://post.example/gateway",
    "CROSSDOCK_POSTOFFICE_TOKEN_URL": "https://login.post.example/token",
    "CROSSDOCK_POSTOFFICE_IDENTITIES": "crossdock:a-secret-of-the-site",
    "CROSSDOCK_FSM_URL": "https://fsm.example/api",
    "CROSSDOCK_FSM_IDENTITIES": "crossdock:a-secret-of-the-site",
    "CROSSDOCK_IFS_CLOUD_URL": "https://ifs.example",
    "CROSSDOCK_IFS_CLOUD_NAMESPACE": "production",
    "CROSSDOCK_IFS_CLOUD_IDENTITIES": "crossdock:a-secret-of-the-site",
}
"""A good environment with a system of every kind."""
PLATFORM = {
    "FUNCTIONS_WORKER_RUNTIME",
    "AzureWebJobsStorage",
    "PYDANTIC_DISABLE_PLUGINS",
}
"""Settings in the example that the platform or a package reads, not this module."""


def read(kind: type[Section], **changes: str) -> Section:
    """A section of a good environment with some settings changed."""
    return kind.read({**EVERYTHING, **changes})


def test_a_good_environment_has_no_errors() -> None:
    """Every section reads."""
    assert Settings(ENVIRONMENT).check() == []
    assert Settings(EVERYTHING).check() == []


def test_an_empty_environment_names_everything_that_is_missing() -> None:
    """At once, so that nobody mends them one by one."""
    told = " ".join(map(str, Settings({}).check()))
    for name in (
        "CROSSDOCK_DATAVERSE_ORGANIZATION_ID",
        "CROSSDOCK_BUSINESS_CENTRAL_TENANT_ID",
        "CROSSDOCK_STORE_ENDPOINT",
        "ServiceBus__fullyQualifiedNamespace",
        "CROSSDOCK_FINGERPRINT_KEY",
    ):
        assert name in told


WRONG: dict[str, tuple[type[Section], dict[str, str], str]] = {
    "a short secret": (
        DataverseDoor,
        {"CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": "short-secret"},
        "needs at least 32 characters.",
    ),
    "a short key": (OperatorDoor, {"CROSSDOCK_OPERATOR_KEY": "short-secret"}, "needs at least 32 characters."),
    "no organisation": (DataverseSettings, {"CROSSDOCK_DATAVERSE_ORGANIZATION_ID": ""}, "is missing; set it"),
    "no GUID": (DataverseSettings, {"CROSSDOCK_DATAVERSE_ORGANIZATION_ID": "short-secret"}, "no GUID"),
    "no address": (DataverseSettings, {"CROSSDOCK_DATAVERSE_URL": ""}, "CROSSDOCK_DATAVERSE_URL: is missing"),
    "a user without a password": (
        PostOfficeSettings,
        {"CROSSDOCK_POSTOFFICE_IDENTITIES": "crossdock"},
        "<user>:<password>",
    ),
    "no token endpoint": (PostOfficeSettings, {"CROSSDOCK_POSTOFFICE_TOKEN_URL": ""}, "TOKEN_URL: is missing"),
    "an unknown sign-in": (
        PostOfficeSettings,
        {"CROSSDOCK_POSTOFFICE_SIGN_IN": "ntlm"},
        "CROSSDOCK_POSTOFFICE_SIGN_IN",
    ),
    "a client without a secret": (
        IfsCloudSettings,
        {"CROSSDOCK_IFS_CLOUD_IDENTITIES": "crossdock"},
        "<client id>:<secret>",
    ),
    "a realm that is an address": (
        IfsCloudSettings,
        {"CROSSDOCK_IFS_CLOUD_NAMESPACE": "https://ifs.example/realm"},
        "CROSSDOCK_IFS_CLOUD_NAMESPACE",
    ),
    "a key without its header": (FsmSettings, {"CROSSDOCK_FSM_IDENTITIES": "crossdock"}, "<header>:<key>"),
    "no time to answer in": (Checks, {"CROSSDOCK_CHECKS_BUDGET_SECONDS": "0"}, "CROSSDOCK_CHECKS_BUDGET_SECONDS"),
    "no columns": (SalesCockpitSettings, {"CROSSDOCK_SALES_COCKPIT_SHOWN_COLUMNS": "name;owner"}, "logical"),
    "a result without a column": (
        SalesCockpitSettings,
        {"CROSSDOCK_SALES_COCKPIT_RESULTS": "score"},
        "<result>=<column>",
    ),
    "ranges with a gap": (
        SalesCockpitSettings,
        {"CROSSDOCK_SALES_COCKPIT_PROBABILITY_CHOICES": "0-33=1,35-100=2"},
        "without a gap",
    ),
    "ranges that end early": (
        SalesCockpitSettings,
        {"CROSSDOCK_SALES_COCKPIT_PROBABILITY_CHOICES": "0-33=1,34-99=2"},
        "without a gap",
    ),
    "a tenant without an audience": (
        UserSignIn,
        {"CROSSDOCK_USERS_TENANT_ID": "7d3ba6e5-41c4-4f0e-9a55-2f6f0a7a5a10"},
        "set both",
    ),
    "a sign-in service of one machine": (
        UserSignIn,
        {"CROSSDOCK_LOCAL": "off", "CROSSDOCK_USERS_SANDBOX_URL": "http://127.0.0.1:1"},
        "a sandbox is for one machine",
    ),
    "two addresses": (
        DataverseSettings,
        {"CROSSDOCK_DATAVERSE_SANDBOX_URL": "http://127.0.0.1:1"},
        "keep one of the two",
    ),
    "a sandbox outside of local mode": (
        BusinessCentralSettings,
        {
            "CROSSDOCK_LOCAL": "off",
            "CROSSDOCK_BUSINESS_CENTRAL_URL": "",
            "CROSSDOCK_BUSINESS_CENTRAL_SANDBOX_URL": "http://127.0.0.1:1",
        },
        "a sandbox is for one machine",
    ),
    "a sandbox without sign-in": (
        BusinessCentralSettings,
        {"CROSSDOCK_BUSINESS_CENTRAL_URL": "", "CROSSDOCK_BUSINESS_CENTRAL_SANDBOX_URL": "http://127.0.0.1:1"},
        "CROSSDOCK_SANDBOX_TOKEN_URL: is missing",
    ),
    "a user without id": (DataverseSettings, {"CROSSDOCK_DATAVERSE_IDENTITIES": ":short-secret"}, "_IDENTITIES"),
    "an identity without id": (
        BusinessCentralSettings,
        {"CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES": "one:two :short-secret"},
        "CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES",
    ),
    "no store": (StoreSettings, {"CROSSDOCK_STORE_PATH": ""}, "set exactly one"),
    "two stores": (StoreSettings, {"CROSSDOCK_STORE_ENDPOINT": "https://a.table.core.windows.net"}, "set exactly one"),
    "a file outside of local mode": (StoreSettings, {"CROSSDOCK_LOCAL": "off"}, "a file is for one machine"),
    "a table prefix with a hyphen": (StoreSettings, {"CROSSDOCK_STORE_PREFIX": "cross-dock"}, "CROSSDOCK_STORE_PREFIX"),
    "two queues": (QueueSettings, {"ServiceBus__fullyQualifiedNamespace": "a.servicebus.windows.net"}, "exactly one"),
    "no queue": (QueueSettings, {"ServiceBus": ""}, "exactly one"),
    "no fingerprint key": (EngineSettings, {"CROSSDOCK_FINGERPRINT_KEY": ""}, "is missing; set it"),
    "a fingerprint key without id": (EngineSettings, {"CROSSDOCK_FINGERPRINT_KEY": ":a2V5a2V5a2V5a2V5a2V5"}, "<id>"),
    "a fingerprint key that is no base64": (EngineSettings, {"CROSSDOCK_FINGERPRINT_KEY": "k1:short-secret"}, "<id>"),
    "a fingerprint key whose id has a blank": (
        EngineSettings,
        {"CROSSDOCK_FINGERPRINT_KEY": "k 1:a2V5a2V5a2V5a2V5a2V5a2V5"},
        "<id>",
    ),
    "a short key before": (EngineSettings, {"CROSSDOCK_FINGERPRINT_KEY_PREVIOUS": "k0:a2V5"}, "KEY_PREVIOUS: write"),
    "two keys of one id": (
        EngineSettings,
        {
            "CROSSDOCK_FINGERPRINT_KEY": "k1:a2V5a2V5a2V5a2V5a2V5a2V5",
            "CROSSDOCK_FINGERPRINT_KEY_PREVIOUS": "k1:b3RoZXJvdGhlcm90aGVyb3RoZXJv",
        },
        "another id",
    ),
    "a window without days": (EngineSettings, {"CROSSDOCK_WINDOWS": "sums_to_dataverse"}, "<transfer>=<days>"),
    "a window of no days": (EngineSettings, {"CROSSDOCK_WINDOWS": "sums_to_dataverse=0"}, "<transfer>=<days>"),
    "a window with an open end": (EngineSettings, {"CROSSDOCK_WINDOWS": "sums_to_dataverse=3,"}, "<transfer>=<days>"),
    "a short fingerprint key": (EngineSettings, {"CROSSDOCK_FINGERPRINT_KEY": "k1:a2V5"}, "16 to 64"),
    "neither on nor off": (Place, {"CROSSDOCK_LOCAL": "short-secret"}, "'on' or 'off'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named_with_its_remedy_and_without_its_value(case: str) -> None:
    """The text goes to logs and to operators."""
    kind, changes, expected = WRONG[case]
    with pytest.raises(SettingsError) as raised:
        read(kind, **changes)
    told = str(raised.value)
    assert expected in told
    assert any(name in told for name in NAMES)
    assert "short-secret" not in told
    assert raised.value.__suppress_context__, "the parser's own error holds the value"


@pytest.mark.parametrize("name", NAMES)
def test_an_unresolved_key_vault_reference_is_recognised(name: str) -> None:
    """It reaches the app as text, and would be a secret that everybody knows."""
    text = "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/name-of-the-secret)"
    errors = [str(error) for error in Settings({**EVERYTHING, name: text}).check()]
    assert any(f"{name}: its Key Vault reference is not resolved" in error for error in errors)


@pytest.mark.parametrize("variable", ["WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME"])
def test_local_mode_is_refused_in_azure(variable: str) -> None:
    """No section is read."""
    errors = Settings({**ENVIRONMENT, variable: "x"}).check()
    assert [str(error) for error in errors] == [
        "CD-3001 CROSSDOCK_LOCAL: is for one machine; remove it from the app's settings."
    ]
    assert not Settings({**ENVIRONMENT, variable: "x", "CROSSDOCK_LOCAL": "off", "CROSSDOCK_STORE_PATH": ""}).check()[
        1:
    ]


def test_one_wrong_section_closes_only_what_depends_on_it() -> None:
    """A missing ERP setting does not close Dataverse's door."""
    settings = Settings({**ENVIRONMENT, "CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID": "wrong"})
    assert settings.get(DataverseDoor).secret is not None
    with pytest.raises(SettingsError):
        settings.get(BusinessCentralSettings)


def test_secrets_do_not_show() -> None:
    """Not in a representation of a section, which may stand in a traceback."""
    sections = " ".join(repr(kind.read(EVERYTHING)) for kind in SECTIONS)
    secrets = [value for name, value in EVERYTHING.items() if re.search("SECRET|STATE|_KEY|^ServiceBus$", name)]
    assert len(secrets) == 10
    assert "a-secret-of-the-site" not in sections
    assert not [secret for secret in secrets if secret in sections]


@pytest.mark.parametrize("kind", [DataverseSettings, BusinessCentralSettings])
def test_several_identities_share_the_work(kind: type[DataverseSettings | BusinessCentralSettings]) -> None:
    """Each with a secret, or as a managed identity."""
    section = read(kind, **{f"CROSSDOCK_{kind.system.upper()}_IDENTITIES": " one:a~b:c  two "})
    assert isinstance(section, kind)
    found = [(one.client_id, one.secret and one.secret.get_secret_value()) for one in section.each_identity()]
    assert found == [("one", "a~b:c"), ("two", None)]


# --- several systems of a kind --------------------------------------------------------------------

SECOND = "8aaf3d2e-44e3-ea11-bb43-000d3a2feca1"
TWO = {"CROSSDOCK_SYSTEMS": "dataverse, business_central, bc_de=business_central"}


def with_second(**more: str) -> Settings:
    """A good environment with a second company."""
    return Settings({**ENVIRONMENT, **TWO, "CROSSDOCK_BC_DE_COMPANY_ID": SECOND, **more})


def test_without_the_setting_each_kind_is_one_system_of_its_name() -> None:
    """Nothing changes for whoever has one company."""
    assert Settings(ENVIRONMENT).kinds == {"dataverse": "dataverse", "business_central": "business_central"}


def test_a_system_takes_from_its_kind_what_it_does_not_say() -> None:
    """Environment, identities and secrets; never the company."""
    settings = with_second(CROSSDOCK_BC_DE_ENVIRONMENT="Test")
    first, second = (settings.of(BusinessCentralSettings, name) for name in ("business_central", "bc_de"))
    assert (second.company_id, second.environment) == (SECOND, "Test")
    assert (second.tenant_id, second.base_url, second.identities) == (
        first.tenant_id,
        first.base_url,
        first.identities,
    )
    assert settings.check() == []
    missing = with_second(CROSSDOCK_BC_DE_COMPANY_ID="").check()
    assert [str(error) for error in missing] == ["CD-3001 CROSSDOCK_BC_DE_COMPANY_ID: is missing; set it."]


def test_a_system_with_a_secret_of_its_own_takes_no_previous_one_from_its_kind() -> None:
    """Nor a sandbox's address beside its own: what belongs together comes from one place."""
    own = "german-path-secret-of-more-than-32-characters"
    settings = with_second(
        CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET_PREVIOUS="p" * 40, CROSSDOCK_BC_DE_WEBHOOK_SECRET=own
    )
    door = settings.of(BusinessCentralDoor, "bc_de")
    assert door.secret is not None
    assert (door.secret.get_secret_value(), door.previous) == (own, None)
    assert settings.of(BusinessCentralDoor, "business_central").previous is not None
    elsewhere = with_second(CROSSDOCK_BC_DE_URL="https://bc.example/v2.0").of(BusinessCentralSettings, "bc_de")
    assert (elsewhere.base_url, elsewhere.is_sandbox) == ("https://bc.example/v2.0", False)


def test_another_organisation_names_its_own_address() -> None:
    """Its id alone would be looked for at the first one's address."""
    names = {"CROSSDOCK_SYSTEMS": "dataverse,business_central,crm_test=dataverse"}
    settings = Settings({**ENVIRONMENT, **names, "CROSSDOCK_CRM_TEST_ORGANIZATION_ID": SECOND})
    assert ["CROSSDOCK_CRM_TEST_URL: is missing" in str(error) for error in settings.check()] == [True]


def test_two_names_for_one_place_are_refused() -> None:
    """However the tenant and environment are spelled."""
    first = ENVIRONMENT["CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID"]
    environment = ENVIRONMENT["CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT"].upper()
    settings = with_second(CROSSDOCK_BC_DE_COMPANY_ID=first, CROSSDOCK_BC_DE_ENVIRONMENT=environment)
    (error,) = settings.check()
    assert "CROSSDOCK_BUSINESS_CENTRAL_*, CROSSDOCK_BC_DE_*: lead to the same place" in str(error)


NAMES_REFUSED = {
    "of no known kind": "dataverse,ifs=field_service",
    "is no name": "dataverse,Bc-It=business_central",
    "a kind's name for that kind only": "dataverse,business_central=dataverse",
    "stands there twice": "dataverse,bc=business_central,bc=business_central",
    "would be that of the installation": "dataverse,public=business_central",
    "would be that of business_central": "dataverse,business_central_sandbox=business_central",
    "would be that of bc;": "dataverse,bc=business_central,bc_sandbox=business_central",
}


@pytest.mark.parametrize("told", NAMES_REFUSED)
def test_names_that_cannot_be_told_apart_are_refused(told: str) -> None:
    """With the setting that is to be corrected."""
    (error, *_) = Settings({**ENVIRONMENT, "CROSSDOCK_SYSTEMS": NAMES_REFUSED[told]}).check()
    assert str(error).startswith("CD-3001 CROSSDOCK_SYSTEMS: ")
    assert told in str(error)


# --- what people read -----------------------------------------------------------------------------


def example() -> dict[str, str]:
    """The settings of local.settings.example.json."""
    content = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))
    assert content["IsEncrypted"] is False
    values: dict[str, str] = content["Values"]
    return values


def test_the_example_has_every_setting() -> None:
    """And none that nobody reads."""
    assert sorted(set(example()) - PLATFORM) == NAMES


def test_the_example_is_a_good_environment() -> None:
    """Once the blanks that belong to secrets are filled in, it starts as it is."""
    errors = [str(error) for error in Settings(example()).check()]
    assert errors == []


def test_the_page_explains_every_setting_once() -> None:
    """In a table whose first column is the name."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    explained = re.findall(r"^\| `([A-Za-z_]+)`", page, re.MULTILINE)
    assert sorted(explained) == sorted({*NAMES, *PLATFORM})


def test_the_page_states_the_defaults() -> None:
    """As the code has them."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([A-Za-z_]+)` \| ([^|]*) \|", page, re.MULTILINE))
    for kind in SECTIONS:
        for field in kind.model_fields.values():
            default = "" if field.is_required() or field.default is None else f"`{field.default}`"
            assert rows[str(field.alias)].strip() == default, field.alias


def test_windows_of_derived_rows_are_named_by_their_transfers() -> None:
    """None unless a setting says so."""
    settings = Settings({**ENVIRONMENT, "CROSSDOCK_WINDOWS": "sums_to_dataverse=14, others_to_dataverse=3"})
    assert settings.get(EngineSettings).window_days() == {"sums_to_dataverse": 14, "others_to_dataverse": 3}
    assert Settings(ENVIRONMENT).get(EngineSettings).window_days() == {}
