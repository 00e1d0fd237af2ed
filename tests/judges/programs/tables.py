"""Tables there and back as Parquet: `tables.py pandas|pyarrow|duckdb BUCKET`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
CA = os.environ.get("AWS_CA_BUNDLE")
ROWS = 200_000


def pandas(bucket: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"number": range(ROWS), "name": [f"row {number}" for number in range(ROWS)]})
    frame["kind"] = frame["number"] % 3
    frame.to_parquet(f"s3://{bucket}/pandas/one.parquet")
    assert pd.read_parquet(f"s3://{bucket}/pandas/one.parquet").equals(frame)
    columns = pd.read_parquet(f"s3://{bucket}/pandas/one.parquet", columns=["number"])
    assert columns["number"].sum() == sum(range(ROWS))
    frame.to_csv(f"s3://{bucket}/pandas/one.csv.gz", index=False)
    assert pd.read_csv(f"s3://{bucket}/pandas/one.csv.gz").equals(frame)
    frame.to_parquet(f"s3://{bucket}/pandas/parted", partition_cols=["kind"])
    again = pd.read_parquet(f"s3://{bucket}/pandas/parted", filters=[("kind", "=", 1)])
    assert sorted(again["number"]) == list(range(1, ROWS, 3))


def pyarrow(bucket: str) -> None:
    import pyarrow as pa
    from pyarrow import dataset, fs
    from pyarrow import parquet as pq

    files = fs.S3FileSystem(
        endpoint_override=urlsplit(ENDPOINT).netloc,
        scheme=urlsplit(ENDPOINT).scheme,
        **({"tls_ca_file_path": CA} if CA else {}),
    )
    numbers = list(range(ROWS))
    table = pa.table({"number": numbers, "kind": [n % 4 for n in numbers], "text": ["kelp" * 20] * ROWS})
    pq.write_table(table, f"{bucket}/arrow/one.parquet", filesystem=files, compression="none")
    assert pq.read_table(f"{bucket}/arrow/one.parquet", filesystem=files).equals(table)
    dataset.write_dataset(
        table,
        f"{bucket}/arrow/parted",
        filesystem=files,
        format="parquet",
        partitioning=["kind"],
        partitioning_flavor="hive",
    )
    read = dataset.dataset(f"{bucket}/arrow/parted", filesystem=files, partitioning="hive")
    kept = read.to_table(filter=dataset.field("kind") == 2, columns=["number"])
    assert sorted(kept["number"].to_pylist()) == numbers[2::4]
    files.delete_dir(f"{bucket}/arrow")


def duckdb(bucket: str) -> None:
    import duckdb as duck
    from duckdb_extension_httpfs import __file__ as carried

    connection = duck.connect()
    [extension] = Path(carried).parent.rglob("httpfs.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    if CA:
        connection.execute(f"SET ca_cert_file = '{CA}'")
    connection.execute(
        f"""CREATE SECRET (TYPE s3, KEY_ID '{os.environ["AWS_ACCESS_KEY_ID"]}',
            SECRET '{os.environ["AWS_SECRET_ACCESS_KEY"]}', REGION '{os.environ["AWS_REGION"]}',
            ENDPOINT '{urlsplit(ENDPOINT).netloc}', URL_STYLE 'path',
            USE_SSL {"true" if ENDPOINT.startswith("https") else "false"})"""
    )
    connection.execute(f"CREATE TABLE kelp AS SELECT i AS number, i % 5 AS kind FROM range({ROWS}) r(i)")
    connection.execute(f"COPY kelp TO 's3://{bucket}/duck/one.parquet'")
    one = connection.execute(f"SELECT sum(number) FROM 's3://{bucket}/duck/one.parquet'").fetchone()
    assert one == (sum(range(ROWS)),)
    connection.execute(f"COPY kelp TO 's3://{bucket}/duck/parted' (FORMAT parquet, PARTITION_BY (kind))")
    parted = f"read_parquet('s3://{bucket}/duck/parted/*/*.parquet', hive_partitioning = true)"
    rows = connection.execute(f"SELECT kind, count(*) FROM {parted} GROUP BY kind ORDER BY kind").fetchall()
    assert [count for _, count in rows] == [ROWS // 5] * 5


if __name__ == "__main__":
    {"pandas": pandas, "pyarrow": pyarrow, "duckdb": duckdb}[sys.argv[1]](sys.argv[2])
