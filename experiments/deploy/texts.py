"""The text files of a deployment: start commands, service files, and the README that says what to do with them."""

from collections.abc import Sequence

PROGRAM_PATH = 'PATH="$(dirname "$(command -v "${FEDJTT_PYTHON:-python3}")"):$PATH"'

_ENVIRONMENT = f"""set -eu
cd "$(dirname "$0")"
. ./settings.env
export {PROGRAM_PATH}
# Flower's state of this folder; no reports home, no packages fetched; seconds between two looks for work.
export FLWR_HOME="$PWD/state" FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1
export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1
export FLWR_SUPEREXEC_TASK_POLL_INTERVAL="${{FLWR_SUPEREXEC_TASK_POLL_INTERVAL:-0.3}}"
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-1}}" OMP_WAIT_POLICY=PASSIVE
mkdir -p state
"""

_SETTINGS = """# Read by the scripts beside it. Remove the '#' of a line to use it.
# The python that fedjtt is installed for:
#export FEDJTT_PYTHON=/opt/fedjtt/venv/bin/python
"""

HOST_SETTINGS = (
    _SETTINGS
    + """# The folder of this host's data, where the run's config names none:
#export FEDJTT_DATA=/srv/data
# A port of this host that only its own processes use (a second node on one host needs another):
#export FEDJTT_NODE_PORT=9094
"""
)

SERVER_SETTINGS = (
    _SETTINGS
    + """# The address of this machine to listen at; 0.0.0.0 is all of them:
#export FEDJTT_LISTEN=0.0.0.0
"""
)


def host_start(server: str) -> str:
    """Return the start command of a host's node."""
    return f"""#!/bin/sh
# Starts this host's node; it connects to {server} and needs no open port.
{_ENVIRONMENT}
exec "${{FEDJTT_PYTHON:-python3}}" -m experiments.deploy.warm flower-supernode \\
  --superlink {server} --root-certificates ca.crt --auth-supernode-private-key node.key \\
  --node-config node.toml --host 127.0.0.1 --port "${{FEDJTT_NODE_PORT:-9094}}"
"""


def node_config(partition_id: int, num_partitions: int) -> str:
    """Return a node's config, which its apps see."""
    return f"""# What this host tells its apps about itself.
partition-id = {partition_id}
num-partitions = {num_partitions}
"""


def server_start(port: int) -> str:
    """Return the start command of the server."""
    return f"""#!/bin/sh
# Starts the server; it listens at port {port} for nodes and for runs. Known nodes are kept in state/superlink.db.
{_ENVIRONMENT}
exec flower-superlink --host "${{FEDJTT_LISTEN:-0.0.0.0}}" --port {port} \\
  --ssl-ca-certfile ca.crt --ssl-certfile server.crt --ssl-keyfile server.key \\
  --enable-supernode-auth --database state/superlink.db --disable-runtime-dependency-installation
"""


def _connect(port: int) -> str:
    # Flower wants the certificate's path absolute, and where this folder will stand is known when it stands there.
    return f"""{_ENVIRONMENT}
printf '[superlink]\\ndefault = "fedjtt"\\n\\n[superlink.fedjtt]\\naddress = "localhost:{port}"\\n' > state/config.toml
printf 'root-certificates = "%s/ca.crt"\\n' "$PWD" >> state/config.toml
"""


def register(port: int) -> str:
    """Return the command that tells the server which nodes there are."""
    return f"""#!/bin/sh
# Tells the running server the public keys of the nodes; once, and again for a key that is new in nodes/.
{_connect(port)}
register() {{
  name="$(basename "$1" .pub)"
  if [ -e "state/$name.registered" ] && cmp -s "$1" "state/$name.registered"; then
    echo "$name: registered before"
  elif answer="$(flwr supernode register "$1" fedjtt --name "$name" 2>&1)"; then
    cp "$1" "state/$name.registered"
    echo "$name: registered"
  else
    echo "$name: not registered: $answer" >&2
    return 1
  fi
}}
waiting=""
for key in nodes/*.pub; do
  register "$key" &
  waiting="$waiting $!"
done
failed=0
for each in $waiting; do wait "$each" || failed=1; done
exit "$failed"
"""


def start_run() -> str:
    """Return the command that starts a run."""
    return f"""#!/bin/sh
# Starts a run, with keys of the run configuration: ./run.sh 'robust="federated" out="results/first"'
# or ./run.sh run.toml; with on-restart=resume a run whose server was lost is started again from its checkpoint.
# The result is written on this machine, by the user of the server; a path is seen from this folder.
{_ENVIRONMENT}
exec "${{FEDJTT_PYTHON:-python3}}" -m experiments.cli deploy run . "$@"
"""


def service(what: str, folder: str) -> str:
    """Return a systemd unit that runs a folder's start command."""
    return f"""[Unit]
Description=fedjtt {what}
Wants=network-online.target
After=network-online.target

[Service]
# The folder as it stands on this host, and a user who owns it.
WorkingDirectory=/opt/fedjtt/{folder}
User=fedjtt
ExecStart=/bin/sh start.sh
Restart=always
RestartSec=10
NoNewPrivileges=yes
ProtectSystem=full
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


_README = """# A deployment of fedjtt

Server: {host}, port {port}. Hosts: {names}. The certificate is valid for {days} days.

1. Install the same versions of fedjtt, Flower, torch and Python everywhere; `deploy check` compares them.
2. Copy `server/` to the server, and each host's folder to that host and to no other: it holds the host's private key.
   Copy with `scp -p` or `rsync -a`, which keep the files' modes. Keep `authority/` where only you can read it; it can
   sign another server's certificate, and no host needs it.
3. Look into `settings.env` of each folder: which python, and on the hosts where the data is.
4. On the server: `./start.sh`, or as a service (see below). Then, once: `./register.sh`. A node whose key is not
   registered is turned away ("No SuperNode found with the given public key" in the server's log): start it again after.
5. On each host: `fedjtt deploy check .` says what is wrong before a run does. Then `./start.sh`, or as a service.
6. On the server: `./run.sh 'robust="federated" out="results/first"'`. The run waits for all {count} nodes. With
   `on-restart=resume` it is started again from its last checkpoint where the server was killed or died.

## Firewall

| from | to | port | what |
|---|---|---|---|
| every host | {host} | {port}/tcp | TLS; the only connection there is |
| anywhere | a host | none | nodes connect by themselves and accept nothing from outside |

Let only the hosts' addresses reach port {port}. Nodes prove themselves by their keys, but in Flower 1.41 starting a run
asks for no proof: whoever reaches this port can start one, with code of his own on the server and on the hosts.
A node also listens at 127.0.0.1:9094 for its own processes, without TLS: let no one you do not trust log in there.

## As a service

`*.service` in each folder is a systemd unit for a folder at `/opt/fedjtt/NAME` and a user `fedjtt`; change both to what
is there, copy it to `/etc/systemd/system/`, then `systemctl enable --now NAME.service`.

## What is what

| file | secret | what |
|---|---|---|
| `authority/ca.key` | yes | signs the server's certificate |
| `*/ca.crt` | no | by which nodes know the server |
| `server/server.crt`, `server/server.key` | the key | how the server proves itself |
| `server/nodes/NAME.pub` | no | the nodes that `register.sh` makes known |
| `NAME/node.key` | yes | how a node proves itself |
| `NAME/node.toml` | no | partition-id and num-partitions of the node |
| `*/deployment.json` | no | versions and a digest of the code that all should have, for `deploy check` |
"""


def readme(hosts: Sequence[str], host: str, port: int, days: int) -> str:
    """Return the steps from these folders to a result."""
    return _README.format(names=", ".join(hosts), count=len(hosts), host=host, port=port, days=days)
