"""What the help of each command shows at its end, by the path of the command."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "run": (
        "retryd run --app billing.retries:app",
        "retryd run --config config.json --processes 4",
        "retryd run --app billing.retries:app --until-empty",
    ),
    "demo": ("retryd demo", "retryd demo --keep"),
    "migrate": ("retryd migrate", "retryd migrate --sql --no-roles > schema.sql"),
    "check": (
        "retryd check --config config.json --app billing.retries:app",
        "retryd check --print-config --config config.json",
        "retryd check --schema > config.schema.json",
    ),
    "health": ("retryd health", "retryd health --live --url http://10.0.0.7:7387"),
    "list": ("retryd list --state parked --handler mail", "retryd list --place live --json"),
    "show": ("retryd show 17",),
    "explain": ("retryd explain 17",),
    "stats": ("retryd stats", "retryd stats --json"),
    "top": ("retryd top", "retryd top --once"),
    "capture": (
        """retryd capture invoice.email.failed '{"invoice": 17}' --event-id invoice-17""",
        "retryd capture invoice.email.failed - < payload.json",
    ),
    "retry-now": ("retryd retry-now 17 18 --reason 'the mail server is back'",),
    "cancel": ("retryd cancel 17 --reason 'paid by hand'",),
    "dlq list": ("retryd dlq list --reason exhausted --operation 'invoice.*'",),
    "dlq show": ("retryd dlq show 17",),
    "dlq retry": ("retryd dlq retry 17 18 --reason 'the mail server is back'",),
    "dlq retry-all": ("retryd dlq retry-all --handler mail --reason exhausted",),
    "dlq resolve": ("retryd dlq resolve 17 --reason 'paid by hand'",),
    "dlq delete": ("retryd dlq delete 17",),
    "dlq export": ("retryd dlq export --operation 'invoice.*' > dead.jsonl",),
    "dlq import": ("retryd dlq import dead.jsonl",),
    "spool list": ("retryd spool list --config config.json", "retryd spool list --json"),
    "spool drain": ("retryd spool drain --directory /var/lib/retryd/spool",),
    "spool verify": ("retryd spool verify --directory /var/lib/retryd/spool",),
    "policy list": ("retryd policy list --config config.json",),
    "policy preview": ("retryd policy preview sql_operation", "retryd policy preview --all"),
    "policy apply": (
        "retryd policy apply --config config.json --dry-run",
        "retryd policy apply --config config.json",
    ),
    "handler list": ("retryd handler list",),
    "handler pause": ("retryd handler pause mail --reason 'the mail server is down'",),
    "handler resume": ("retryd handler resume mail",),
    "handler forget": ("retryd handler forget mail",),
    "token create": (
        "retryd token create --name shop --scope ingest",
        "retryd token create --name oncall --scope read --scope operate --expires-days 90",
    ),
    "token list": ("retryd token list --all",),
    "token revoke": ("retryd token revoke 3 --reason 'it was in a log'",),
    "completion": (
        """bash: eval "$(retryd completion bash)" in ~/.bashrc""",
        """zsh:  eval "$(retryd completion zsh)" in ~/.zshrc, after compinit""",
        "fish: retryd completion fish > ~/.config/fish/completions/retryd.fish",
    ),
}
