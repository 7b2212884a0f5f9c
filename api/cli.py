"""Commands of the service: start it, its users and keys, its audit log.

``geo.cli`` hands their arguments over, so that no other command loads a server.
"""

import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvicorn
from fastapi import FastAPI

from api.accounts import FIRST_ADMIN, ROLE_TITLES, Accounts
from api.features import records
from api.lifetime import Lifetime
from api.logs import log_to_stderr
from api.main import create_app
from api.settings import Settings
from geo.atomic import alone
from geo.errors import InputError
from geo.store import EVERYTHING, Query, Store, open_store
from geo.store.query import All, Compare
from geo.terminal import WITH_ERRORS, plainly

_ACTOR: Final = "命令行"  # who acts in the audit log: whoever may run commands on the server
_EXAMPLES: Final = "viewer 查阅、officer 经办、reviewer 审核、admin 管理"

Work = Annotated[str, typer.Argument(help="成果文件 .gpkg，或 postgresql:// 地址")]
UserName = Annotated[str, typer.Argument(help="用户名")]
Role = Annotated[str, typer.Option(help=f"角色：{_EXAMPLES}")]
Villages = Annotated[list[str] | None, typer.Option("--village", help="只限这些村（村代码）；可多次给出")]
AsJson = Annotated[bool, typer.Option("--json", help="按 JSON 打印")]

users = typer.Typer(name="taotu user", help="服务的用户。", no_args_is_help=True, add_completion=False)
keys = typer.Typer(
    name="taotu key", help="脚本和 QGIS 用的密钥。", no_args_is_help=True, add_completion=False
)
audits = typer.Typer(name="taotu audit", help="审计记录。", no_args_is_help=True, add_completion=False)


class _Server(uvicorn.Server):
    """A server that tells the app's event streams to end before it waits for them."""

    def __init__(self, config: uvicorn.Config, lifetime: Lifetime, told: Callable[[], None]) -> None:
        super().__init__(config)
        self._lifetime = lifetime
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, without waiting for what has no end."""
        self._lifetime.stop()
        await super().shutdown(sockets)


def serve(url: str, *, port: int, settings: Settings) -> None:
    """Serve a workspace until a signal to stop; requests under way are answered first.

    Port 0 is any free one. The address is printed when the service answers.

    Raises
    ------
    InputError
        If the address or port cannot be had, or ``url`` is nothing to serve.
    OutputError
        If another run holds the workspace.
    """
    with ExitStack() as held:
        if "://" not in url:
            if not Path(url).is_file():
                raise InputError(f"没有成果文件 {url}：请先运行 taotu reconcile")
            held.enter_context(alone(url))  # no run may replace the file under the service
        app = create_app(url, settings)
        listening = held.enter_context(_listening(settings.host, port))
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _first_start(app, url)
        log_to_stderr()
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # api.logs writes its own
            proxy_headers=False,  # api.security believes only the proxies it was told of
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=settings.stop_after_s,
        )
        server = _Server(
            config,
            app.state.lifetime,
            lambda: print(f"服务已启动：http://{shown}:{port}/（按 Ctrl+C 停止）", flush=True),
        )
        # The server raises the signal once more when it has stopped; the rest is to end in order, too.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listening])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"不能在 {host}:{port} 上监听（{error}）：端口可能已被占用，请换 --port，或检查 --host"
        ) from error
    with made:
        yield made


def _first_start(app: FastAPI, url: str) -> None:
    """Make the first administrator and show the password on the terminal; a file or log never sees it."""
    accounts: Accounts = app.state.accounts
    settings: Settings = app.state.settings
    if settings.open_access or accounts.users():
        return
    if not sys.stdout.isatty():
        sys.stderr.write(f"提示 还没有用户：请运行 taotu user add {_no_password(url)} 用户名 --role admin\n")
        return
    password = accounts.first_admin()
    with app.state.store.write(actor=_ACTOR) as change:
        change.note("user_created", row_key=FIRST_ADMIN, after={"role": "admin"})
    print("首次启动，已建管理员（密码只显示这一次，登录后须修改）：")
    print(f"  用户名 {FIRST_ADMIN}")
    print(f"  密码   {password}", flush=True)


def _no_password(url: str) -> str:
    """An address without what may be a password in it."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at and "://" in head else url


@contextmanager
def _opened(url: str) -> Iterator[tuple[Store, Accounts]]:
    store = open_store(url)
    try:
        yield store, Accounts(store.private(), Settings())
    finally:
        store.close()


def _noted(store: Store, action: str, row_key: str, **after: Any) -> None:  # noqa: ANN401 - whatever is told
    with store.write(actor=_ACTOR) as change:
        change.note(action, row_key=row_key, after=after)


@users.command("add")
@plainly
def add_user(work: Work, name: UserName, role: Role = "officer", villages: Villages = None) -> None:
    """建一个用户；密码自动生成，只显示一次。"""
    with _opened(work) as (store, accounts):
        user, password = accounts.add_user(name, role=role, by=_ACTOR, villages=villages or None)
        _noted(store, "user_created", user.name, role=role, villages=villages or None)
    print(f"用户名 {user.name}（{ROLE_TITLES[user.role]}）")
    print(f"密码   {password}（首次登录须修改）")


@users.command("list")
@plainly
def list_users(work: Work) -> None:
    """列出用户。"""
    with _opened(work) as (_, accounts):
        for user in accounts.users():
            reach = "全县" if user.villages is None else "、".join(sorted(user.villages)) or "无"
            state = "" if user.active else "  已停用"
            print(
                f"{user.name}  {ROLE_TITLES[user.role]}  {reach}  最近登录 {user.last_login_at or '无'}{state}"
            )


@users.command("change")
@plainly
def change_user(
    work: Work,
    name: UserName,
    role: Annotated[str | None, typer.Option(help=f"角色：{_EXAMPLES}")] = None,
    villages: Villages = None,
    county: Annotated[bool, typer.Option("--county", help="不限村")] = False,
    active: Annotated[bool | None, typer.Option("--on/--off", help="启用或停用")] = None,
) -> None:
    """改角色、所辖村，启用或停用。"""
    changes: dict[str, Any] = {"role": role, "active": active}
    changes = {field: value for field, value in changes.items() if value is not None}
    if villages or county:
        changes["villages"] = None if county else frozenset(villages or ())
    with _opened(work) as (store, accounts):
        user = accounts.change_user(name, changes)
        told = {**changes, "villages": sorted(user.villages) if user.villages is not None else None}
        _noted(store, "user_changed", user.name, **told)
    print(f"已修改 {user.name}")


@users.command("password")
@plainly
def reset_password(work: Work, name: UserName) -> None:
    """重设密码；新密码只显示一次，已登录的会被退出。"""
    with _opened(work) as (store, accounts):
        password = accounts.reset_password(name)
        _noted(store, "password_reset", accounts.user(name).name)
    print(f"新密码 {password}（登录后须修改）")


@keys.command("new")
@plainly
def new_key(
    work: Work,
    name: UserName,
    label: Annotated[str, typer.Option(help="用途")] = "脚本",
    role: Annotated[str | None, typer.Option(help="角色，不高于本人；默认与本人相同")] = None,
    villages: Villages = None,
    days: Annotated[int | None, typer.Option(min=1, help="有效天数")] = None,
) -> None:
    """为用户建一个密钥；只显示一次。"""
    with _opened(work) as (store, accounts):
        key, text = accounts.add_key(name, label=label, role=role, villages=villages or None, days=days)
        _noted(store, "key_created", key.key_id, label=key.label, role=key.role, expires_at=key.expires_at)
    print(f"编号 {key.key_id}，有效至 {key.expires_at[:10]}；请求头 Authorization: Bearer 加下面的密钥")
    print(text)


@keys.command("list")
@plainly
def list_keys(work: Work) -> None:
    """列出密钥。"""
    with _opened(work) as (_, accounts):
        for key in accounts.keys():  # noqa: SIM118 - no mapping
            state = "已停用" if key.revoked_at else f"至 {key.expires_at[:10]}"
            used = key.used_at or "未用过"
            print(f"{key.key_id}  {key.name}  {ROLE_TITLES[key.role]}  {state}  最近使用 {used}  {key.label}")


@keys.command("end")
@plainly
def end_key(work: Work, key_id: Annotated[str, typer.Argument(help="密钥编号")]) -> None:
    """停用一个密钥。"""
    with _opened(work) as (store, accounts):
        key = accounts.revoke_key(key_id)
        _noted(store, "key_revoked", key.key_id)
    print(f"已停用 {key.key_id}（{key.name} 的“{key.label}”）")


@audits.command("verify")
@plainly
def verify_audit(
    work: Work,
    head: Annotated[str, typer.Option(help="以前抄存的末条，序号:校验值；可查出末尾被删")] = "",
) -> None:
    """核验审计记录未被改动；有问题时退出码为 1。"""
    number, _, kept = head.partition(":")
    if head and not (number.isdecimal() and kept):
        raise typer.BadParameter(f"{head} 应为 序号:校验值，如 120:9f2c…", param_hint="--head")
    with _opened(work) as (store, _):
        flaws = store.verify_audit(head=(int(number), kept) if head else None)
        seq, hashed = store.head()
    for flaw in flaws:
        print(flaw)
    if flaws:
        raise typer.Exit(WITH_ERRORS)
    print(f"审计记录完整：共 {seq} 条，末条 {seq}:{hashed}（可抄存备查）")


@audits.command("show")
@plainly
def show_audit(
    work: Work,
    since: Annotated[str | None, typer.Option(help="自何日起，如 2024-05-31")] = None,
    layer: Annotated[str | None, typer.Option(help="图层")] = None,
    row_key: Annotated[str | None, typer.Option("--row", help="编号")] = None,
    actor: Annotated[str | None, typer.Option(help="何人")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="至多几条")] = 50,
    as_json: AsJson = False,
) -> None:
    """列出审计记录，新的在前。"""
    wanted = {"layer": layer, "row_key": row_key, "actor": actor}
    conditions = [Compare(column, "=", value) for column, value in wanted.items() if value is not None]
    if since is not None:
        conditions.append(Compare("at", ">=", since))
    query = Query(where=All(tuple(conditions)), sort=("-seq",), limit=limit, geometry=False)
    with _opened(work) as (store, _):
        rows = records(store.query("audit", query, EVERYTHING).rows.drop(columns="fid", errors="ignore"))
    for row in rows:
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            place = " ".join(filter(None, (row["layer"], row["row_key"])))
            print(
                f"{row['seq']:>6}  {row['at']}  {row['actor']}  {row['action']}  {place}  {row['why'] or ''}"
            )
