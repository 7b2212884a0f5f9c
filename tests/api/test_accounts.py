"""Users, sessions and keys without the web around them: what opens, what does not, and when it ends."""

import json
import logging
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from api.accounts import (
    ROLES,
    AccountConflictError,
    AccountError,
    Accounts,
    LoginError,
    UnknownAccountError,
    csrf_of,
    made_password,
)
from api.settings import Settings
from api.tries import TooManyTriesError
from geo.errors import InputError
from tests.api.conftest import PASSWORD, QUICK, Clock

HERE = "10.0.0.8"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def database(request):
    """A database of PostGIS for the private tables, where there is one."""
    url = request.getfixturevalue("postgis").database()
    made = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    yield made
    made.dispose()


@pytest.fixture(params=["sqlite", "postgis"])
def engine(request, tmp_path):
    if request.param == "postgis":
        made = request.getfixturevalue("database")
        yield made
        with made.begin() as db:
            for name in sa.inspect(made).get_table_names():
                if name != "spatial_ref_sys":
                    db.execute(sa.text(f"DROP TABLE {name}"))
        return
    made = sa.create_engine(f"sqlite:///{tmp_path / 'service.db'}", connect_args={"timeout": 30})
    yield made
    made.dispose()


@pytest.fixture
def accounts(engine, clock):
    return Accounts(engine, Settings(clock=clock, **QUICK))


def add(accounts, name="li", role="officer", **more):
    return accounts.add_user(name, role=role, by="test", password=PASSWORD, must_change=False, **more)[0]


def everything_kept(engine):
    with engine.connect() as db:
        tables = set(sa.inspect(engine).get_table_names()) - {"spatial_ref_sys"}
        return json.dumps(
            [
                [str(cell) for cell in row]
                for name in tables
                for row in db.execute(sa.text(f"SELECT * FROM {name}"))
            ]
        )


def test_name_and_password_open_a_session_that_ends_with_logout(accounts):
    add(accounts)
    user, token = accounts.login("li", PASSWORD, address=HERE)
    assert (user.name, user.role) == ("li", "officer")
    assert accounts.of_session(token).name == "li"
    accounts.logout(token)
    assert accounts.of_session(token) is None


def test_nothing_kept_opens_anything(accounts, engine):
    add(accounts)
    _, token = accounts.login("li", PASSWORD, address=HERE)
    _, key = accounts.add_key("li", label="x")
    made = accounts.reset_password("li")
    kept = everything_kept(engine)
    for secret in (token, key, key.removeprefix("taotu_"), PASSWORD, made, csrf_of(token)):
        assert secret not in kept


def test_the_database_s_own_words_open_nothing(accounts, engine):
    add(accounts)
    accounts.login("li", PASSWORD, address=HERE)
    accounts.add_key("li", label="x")
    with engine.connect() as db:
        session = db.execute(sa.text("SELECT token_hash FROM sessions")).scalar_one()
        key = db.execute(sa.text("SELECT key_hash FROM api_keys")).scalar_one()
        password = db.execute(sa.text("SELECT password_hash FROM users")).scalar_one()
    assert accounts.of_session(session) is None
    assert accounts.of_key(key) is None
    assert accounts.of_key("taotu_" + key) is None
    with pytest.raises(LoginError):
        accounts.login("li", password, address=HERE)


def test_a_session_ends_when_it_is_not_used_and_lasts_while_it_is(accounts, clock):
    add(accounts)
    _, token = accounts.login("li", PASSWORD, address=HERE)
    for _ in range(5):
        clock.pass_by(timedelta(hours=1, minutes=59))
        assert accounts.of_session(token)
    _, other = accounts.login("li", PASSWORD, address=HERE)
    clock.pass_by(timedelta(hours=2, seconds=1))
    assert accounts.of_session(other) is None
    assert accounts.open_sessions() == 0


def test_a_session_in_use_ends_after_a_working_day(accounts, clock):
    add(accounts)
    _, token = accounts.login("li", PASSWORD, address=HERE)
    for _ in range(12):
        assert accounts.of_session(token)
        clock.pass_by(timedelta(hours=1))
    clock.pass_by(timedelta(seconds=1))
    assert accounts.of_session(token) is None


def test_a_change_of_password_ends_the_other_sessions_and_the_old_password(accounts):
    add(accounts)
    _, mine = accounts.login("li", PASSWORD, address=HERE)
    _, lost = accounts.login("li", PASSWORD, address=HERE)
    accounts.change_password("li", PASSWORD, "another good one 9", token=mine, address=HERE)
    assert accounts.of_session(mine)
    assert accounts.of_session(lost) is None
    with pytest.raises(LoginError):
        accounts.login("li", PASSWORD, address=HERE)
    assert accounts.login("li", "another good one 9", address=HERE)


def test_a_password_is_not_changed_without_the_old_one(accounts):
    add(accounts)
    with pytest.raises(LoginError):
        accounts.change_password("li", "wrong password", "another good one 9", token=None, address=HERE)


@pytest.mark.parametrize(
    "weak", ["short", "1234567890", "aaaaaaaaaaaa", "xx-LI-2024-xx", "ababababab", "x" * 129, PASSWORD]
)
def test_a_weak_or_unchanged_password_is_refused(accounts, weak):
    add(accounts)
    with pytest.raises(AccountError):
        accounts.change_password("li", PASSWORD, weak, token=None, address=HERE)


def test_a_password_made_here_must_be_changed_and_resetting_ends_sessions(accounts):
    user, made = accounts.add_user("li", role="viewer", by="test")
    assert user.must_change
    _, token = accounts.login("li", made, address=HERE)
    again = accounts.reset_password("li")
    assert accounts.of_session(token) is None
    assert accounts.login("li", again, address=HERE)[0].must_change


def test_the_same_characters_from_another_keyboard_are_the_same_password_and_name(accounts):
    accounts.add_user(
        "ＬＩ", role="viewer", by="test", password="ｐａｓｓｗｏｒｄ　of li's".replace("li", "us")
    )
    assert accounts.login("Li", "password of us's", address=HERE)


def test_made_passwords_are_many():
    made = {made_password() for _ in range(200)}
    assert len(made) == 200
    assert all(len(one) == 19 for one in made)


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a/b", "../x", "-x", "x" * 41, "a\nb", "<script>", "本机", "a'b"]
)
def test_a_name_that_could_mislead_is_refused(accounts, name):
    with pytest.raises(AccountError):
        add(accounts, name)


@pytest.mark.parametrize("odd", ["a\x00b", "\ud800", "x" * 10_000, "", "\u202e", "' OR 1=1 --", "%"])
def test_an_odd_name_is_nobody_s_and_breaks_nothing(accounts, odd):
    with pytest.raises(UnknownAccountError):
        accounts.user(odd)
    with pytest.raises(UnknownAccountError):
        accounts.revoke_key(odd)
    with pytest.raises(LoginError):
        accounts.login(odd, "wrong password", address=HERE)


def test_a_name_is_given_once_whatever_its_letters_case(accounts):
    add(accounts, "Wang")
    with pytest.raises(AccountConflictError):
        add(accounts, "wANG")


def test_an_unknown_role_and_an_admin_of_villages_are_refused(accounts):
    with pytest.raises(AccountError):
        add(accounts, role="root")
    with pytest.raises(AccountError):
        add(accounts, role="admin", villages=["140725100201"])


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"active": False}])
def test_the_last_administrator_stays(accounts, change):
    add(accounts, "chief", "admin")
    add(accounts, "gone", "admin")
    accounts.change_user("gone", {"active": False})
    with pytest.raises(AccountConflictError):
        accounts.change_user("chief", change)
    accounts.change_user("gone", {"active": True})
    assert accounts.change_user("chief", change).name == "chief"


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"active": False}, {"villages": ["140725100201"]}])
def test_who_loses_rights_loses_the_sessions(accounts, change):
    add(accounts)
    _, token = accounts.login("li", PASSWORD, address=HERE)
    accounts.change_user("li", change)
    assert accounts.of_session(token) is None
    accounts.change_user("li", {"active": True})
    assert accounts.of_session(token) is None


def test_a_change_that_changes_nothing_ends_nothing(accounts):
    add(accounts, villages=["140725100201"])
    _, token = accounts.login("li", PASSWORD, address=HERE)
    accounts.change_user("li", {"villages": ["140725100201"], "role": "officer"})
    assert accounts.of_session(token)


def test_who_is_switched_off_cannot_log_in_and_keys_open_nothing(accounts):
    add(accounts)
    _, key = accounts.add_key("li", label="x")
    assert accounts.of_key(key)
    accounts.change_user("li", {"active": False})
    assert accounts.of_key(key) is None
    with pytest.raises(LoginError):
        accounts.login("li", PASSWORD, address=HERE)


def test_what_opened_a_moment_ago_is_known_without_the_database_and_forgotten_with_any_change(
    accounts, clock
):
    add(accounts)
    add(accounts, "chief", "admin")
    _, token = accounts.login("li", PASSWORD, address=HERE)
    key, text = accounts.add_key("li", label="x")
    changes = [
        lambda: clock.pass_by(timedelta(seconds=1)),
        lambda: clock.pass_by(timedelta(seconds=-1)),
        lambda: accounts.change_user("chief", {"active": True}),
        lambda: accounts.reset_password("chief"),
        lambda: accounts.logout("any"),
        lambda: accounts.revoke_key(key.key_id),
    ]
    for change in changes:
        user, found = accounts.of_session(token), accounts.of_key(text)
        assert accounts.recent(token) == user
        assert accounts.recent(text) == found
        change()
        assert accounts.recent(token) is None
        assert accounts.recent(text) is None
    assert accounts.recent("anything") is None


def test_a_change_between_asking_and_keeping_is_not_overwritten(accounts, monkeypatch):
    add(accounts)
    _, token = accounts.login("li", PASSWORD, address=HERE)
    keep = accounts._recent.keep

    def cut_in(*args):
        accounts.logout(token)
        keep(*args)

    monkeypatch.setattr(accounts._recent, "keep", cut_in)
    assert accounts.of_session(token)  # read before the logout
    assert accounts.recent(token) is None


# --- failed logins


def fail(accounts, name="li", address=HERE):
    with pytest.raises(LoginError):
        accounts.login(name, "wrong password", address=address)


def test_failures_of_a_name_make_it_wait_longer_each_time(accounts, clock):
    add(accounts)
    for _ in range(5):
        fail(accounts, address="10.0.0.1")
    waits = []
    for _ in range(12):
        with pytest.raises(TooManyTriesError) as refused:
            accounts.login("li", PASSWORD, address="10.0.0.2")  # right, and from elsewhere: still to wait
        waits.append(refused.value.retry_after)
        clock.pass_by(timedelta(seconds=refused.value.retry_after))
        fail(accounts, address="10.0.0.1")
    assert waits == sorted(waits)
    assert waits[0] < 5
    assert waits[-1] == Settings().longest_wait.total_seconds() + 1


def test_failures_of_an_address_make_all_its_names_wait(accounts, clock):
    add(accounts)
    for number in range(20):
        fail(accounts, name=f"guess{number}")
    with pytest.raises(TooManyTriesError):
        accounts.login("li", PASSWORD, address=HERE)
    assert accounts.login("li", PASSWORD, address="10.0.0.9")
    clock.pass_by(timedelta(minutes=6))
    assert accounts.login("li", PASSWORD, address=HERE)


def test_a_success_clears_the_name_but_does_not_hide_a_search(accounts):
    add(accounts, "mallory")
    for number in range(19):
        if number % 3 == 0:
            accounts.login("mallory", PASSWORD, address=HERE)
        fail(accounts, name=f"guess{number}")
    fail(accounts, name="one more")
    with pytest.raises(TooManyTriesError):
        accounts.login("mallory", PASSWORD, address=HERE)


def test_failures_are_forgotten_after_an_hour(accounts, clock, engine):
    for number in range(10):
        fail(accounts, name=f"guess{number}")
    clock.pass_by(timedelta(hours=1, seconds=1))
    fail(accounts, name="last")
    with engine.connect() as db:
        assert db.execute(sa.text("SELECT count(*) FROM login_failures")).scalar_one() == 2


def test_many_tries_at_once_are_all_counted(accounts):
    add(accounts)
    outcomes = []

    def attempt():
        try:
            accounts.login("li", "wrong password", address=HERE)
        except (LoginError, TooManyTriesError) as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=attempt) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 24
    assert outcomes.count(LoginError) <= 5


def test_a_wait_survives_a_restart(accounts, engine, clock):
    add(accounts)
    for _ in range(5):
        fail(accounts)
    with pytest.raises(TooManyTriesError):
        Accounts(engine, Settings(clock=clock, **QUICK)).login("li", PASSWORD, address=HERE)


def test_a_name_nobody_has_takes_as_long_as_one_somebody_has(engine):
    slow = Settings(
        hash_memory_kib=8 * 1024, hash_passes=3, tries_of_name=1000, tries_of_address=1000
    )  # slow enough to stand out from the database
    accounts = Accounts(engine, slow)
    add(accounts)
    add(accounts, "off")
    accounts.change_user("off", {"active": False})
    taken = {"li": [], "nobody": [], "off": []}
    for _ in range(5):
        for name, times in taken.items():
            began = time.thread_time()  # of this thread alone: the machine may be busy with others
            fail(accounts, name=name)
            times.append(time.thread_time() - began)
    least = {name: min(times) for name, times in taken.items()}
    assert statistics.median(taken["nobody"]) > 0.5 * statistics.median(taken["li"])
    assert max(least.values()) < 1.6 * min(least.values())


# --- keys


def test_a_key_opens_until_it_ends(accounts, clock):
    add(accounts)
    key, text = accounts.add_key("li", label="QGIS", days=30)
    assert text.startswith("taotu_")
    user, found = accounts.of_key(text)
    assert (user.name, found.key_id, found.label) == ("li", key.key_id, "QGIS")
    clock.pass_by(timedelta(days=30))
    assert accounts.of_key(text) is None


def test_a_revoked_key_opens_nothing_and_is_still_listed(accounts):
    add(accounts)
    key, text = accounts.add_key("li", label="QGIS")
    accounts.revoke_key(key.key_id)
    assert accounts.of_key(text) is None
    assert [one.revoked_at is not None for one in accounts.keys("li")] == [True]


def test_a_key_says_when_it_was_last_used(accounts, clock):
    add(accounts)
    _, text = accounts.add_key("li", label="QGIS")
    assert accounts.keys()[0].used_at is None
    clock.pass_by(timedelta(hours=3))
    accounts.of_key(text)
    assert datetime.fromisoformat(accounts.keys()[0].used_at) == clock()


@pytest.mark.parametrize(
    "more",
    [
        {"role": "reviewer"},
        {"role": "admin"},
        {"role": "root"},
        {"villages": ["140725100202"]},
        {"villages": ["140725100201", "140725100202"]},
        {"days": 0},
        {"days": 366},
    ],
)
def test_a_key_does_no_more_than_its_maker(accounts, more):
    add(accounts, villages=["140725100201"])
    with pytest.raises(AccountError):
        accounts.add_key("li", label="x", **more)


def test_a_key_of_some_villages_is_no_administrator(accounts):
    add(accounts, "chief", "admin")
    with pytest.raises(AccountError):
        accounts.add_key("chief", label="x", villages=["140725100201"])
    assert accounts.add_key("chief", label="x", role="reviewer", villages=["140725100201"])


def test_a_key_is_ended_by_its_owner_only(accounts):
    add(accounts)
    add(accounts, "wang")
    key, _ = accounts.add_key("li", label="x")
    with pytest.raises(UnknownAccountError):
        accounts.revoke_key(key.key_id, owner="wang")
    assert accounts.revoke_key(key.key_id, owner="li").revoked_at


@given(text=st.text(max_size=80))
def test_no_text_opens_by_chance_or_breaks(text):
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    try:
        accounts = Accounts(engine, Settings(**QUICK))
        assert accounts.of_session(text) is None
        assert accounts.of_key(text) is None
        with pytest.raises(LoginError):
            accounts.login(text, text, address=text)
    finally:
        engine.dispose()


# --- the first start and settings


def test_the_first_start_makes_one_administrator_and_no_log_hears_the_password(accounts, caplog):
    with caplog.at_level(logging.DEBUG):
        made = accounts.first_admin()
    assert accounts.login("admin", made, address=HERE)[0].must_change
    assert accounts.first_admin() is None
    assert made not in caplog.text


def test_roles_are_in_order():
    assert ROLES == ("viewer", "officer", "reviewer", "admin")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "county.example", ""])  # noqa: S104 - what is refused
def test_open_access_is_refused_where_others_can_reach(host):
    with pytest.raises(InputError, match="--open"):
        Settings(open_access=True, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_open_access_is_for_this_machine(host):
    assert Settings(open_access=True, host=host).open_access


def test_open_access_behind_a_proxy_is_refused():
    with pytest.raises(InputError, match="--proxy"):
        Settings(open_access=True, proxies=("127.0.0.1",))


def test_a_proxy_is_an_address_or_a_network():
    with pytest.raises(InputError, match="网段"):
        Settings(proxies=("gateway",))
    settings = Settings(proxies=("10.1.0.0/16", "::1"))
    assert settings.is_proxy("10.1.2.3")
    assert settings.is_proxy("::1")
    assert not settings.is_proxy("10.2.0.1")
    assert not settings.is_proxy("testclient")


def test_times_compare_as_texts(accounts, clock):
    clock.now = datetime(2026, 1, 1, tzinfo=UTC)  # no fraction of a second
    add(accounts)
    _, token = accounts.login("li", PASSWORD, address=HERE)
    clock.pass_by(timedelta(microseconds=1))
    assert accounts.of_session(token)
