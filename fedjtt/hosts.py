"""From a config, or a node's own words, to the file of a host's rows: read once in a process, while it is the same."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, reduce
from operator import add
from pathlib import Path

from fedjtt.config import RunConfig, digest_of
from fedjtt.data.encoding import Encoding
from fedjtt.data.heart4 import HOSTS, heart4_file, heart4_schema
from fedjtt.data.host import Host, ImageHost, TableHost
from fedjtt.data.host_format import HostFormat, read_host_format
from fedjtt.data.host_schema import read_schema
from fedjtt.data.host_table import read_table
from fedjtt.data.options import folder_of_names
from fedjtt.data.toml_table import read_toml
from fedjtt.errors import ConfigError, DataError
from fedjtt.frozen import Frozen

DATA_FILE, DATA_FORMAT = "data-file", "data-format"
"""What a node calls its file, and that file's format, in Flower's node config."""

_Signature = tuple[tuple[int, int] | None, ...]


def data_folder(config: RunConfig) -> Path:
    """Return the folder that the names of own files start from: data-dir, FEDJTT_DATA or the current one."""
    return folder_of_names(config.data_dir)


def check_size(config: RunConfig, num_partitions: int) -> None:
    """Refuse a federation of another size than the config's."""
    if num_partitions != config.machines:
        raise ConfigError(
            f"machines is {config.machines} but the federation has {num_partitions} nodes; make them equal "
            f"(--federation-config num-supernodes={config.machines}, or --run-config machines={num_partitions})"
        )


def load_host(config: RunConfig, number: int, data_file: str, data_format: str = "") -> Host:
    """Return the rows of a file that a node names itself."""
    folder = data_folder(config)
    return _load(config, number, folder / data_file, folder / data_format if data_format else None)


def host_of(config: RunConfig, number: int) -> Host:
    """Return a machine's rows where the config alone says which file they are in."""
    return _load(config, number, files_of(config)[number], None)


def hosts_of(config: RunConfig) -> list[Host]:
    """Return every machine's rows, and refuse what is wrong with any, with its full text, before anything is sent."""
    hosts = [host_of(config, number) for number in range(config.machines)]
    encoding = encoding_of(hosts, config.min_count)
    for host in hosts:
        host.encoded(encoding)  # kept: it is the machines' own
    return hosts


def encoding_of(hosts: Sequence[Host], min_count: int) -> Encoding:
    """Return the encoding that the hosts agree on when each tells its moments."""
    return Encoding.from_moments(reduce(add, (host.moments(min_count) for host in hosts)))


def files_of(config: RunConfig) -> list[Path]:
    """Return the machines' files in their order."""
    folder = data_folder(config)
    if config.dataset == "heart4":
        return [heart4_file(folder, host) for host in HOSTS]
    if not config.host_files:
        raise ConfigError(
            f"dataset is {config.dataset}, but host-files is empty; name a folder with a CSV file for every machine, "
            f"or on every node {DATA_FILE} in its node config"
        )
    place = folder / config.host_files
    if place.is_dir():
        files = sorted(place.glob("*.csv"))
    else:
        files = [folder / name.strip() for name in config.host_files.split(",") if name.strip()]
    if len(files) != config.machines:
        raise ConfigError(
            f"machines is {config.machines}, but host-files ({config.host_files}) has {len(files)} CSV files; make "
            "them equal"
        )
    return files


def _load(config: RunConfig, number: int, path: Path, named_format: Path | None) -> Host:
    beside = path.with_suffix(".toml")
    form = named_format or (beside if beside.is_file() else None)
    schema = None if config.dataset == "heart4" else data_folder(config) / config.schema_file
    signature = tuple(_stamp(each) for each in (path, form, schema))
    return _read(config.dataset, path, form, schema, config.seed, number, signature, Frozen.of_run(config))


def _stamp(path: Path | None) -> tuple[int, int] | None:
    if path is None or not path.is_file():
        return None
    about = path.stat()
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=256)
def _read(
    dataset: str,
    path: Path,
    form: Path | None,
    schema: Path | None,
    seed: int,
    number: int,
    signature: _Signature,  # noqa: ARG001 (a file that has changed is read again)
    frozen: Frozen | None,
) -> Host:
    with _private(form):
        host_format = HostFormat() if form is None else read_host_format(form)
    if schema is None:
        known = list(HOSTS.values())[number % len(HOSTS)]
        return TableHost(read_table(path, heart4_schema(), host_format if form else known, seed, number), number)
    if dataset == "image-folder":
        from fedjtt.data.image_folder import fingerprint_of, load_image_folder, parse_image_schema  # Pillow

        with _private(schema):
            images = parse_image_schema(read_toml(schema), str(schema))
        splits = load_image_folder(path.parent, path, images, host_format, seed, number)
        if frozen is None:
            return ImageHost(splits, fingerprint_of(images), number)
        # Hosts whose frozen networks differ must not learn one layer together.
        return ImageHost(frozen.seen(splits), digest_of([fingerprint_of(images), frozen.fingerprint]), number)
    with _private(schema):
        columns = read_schema(schema)
    with _private(form):
        host_format.check(columns.columns)
    return TableHost(read_table(path, columns, host_format, seed, number), number)


@contextmanager
def _private(path: Path | None) -> Iterator[None]:
    """Turn an error about a host's own setting into one that says where it is without quoting it."""
    try:
        yield
    except ConfigError as error:
        name = "its format" if path is None else path.name
        raise DataError(str(error), f"{name} cannot be used") from None
