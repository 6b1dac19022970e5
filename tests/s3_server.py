"""An S3 server with one bucket, `turnstream`. Says its port once it listens; ends with its standard input.

One request after another, as the conditional writes of moto are not atomic among threads.
"""

from __future__ import annotations

import os
import sys
import threading

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


def main() -> None:
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = {"endpoint_url": f"http://127.0.0.1:{server.port}", "region_name": "us-east-1"}
    boto3.session.Session().client("s3", **where).create_bucket(Bucket="turnstream")
    print(server.port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
