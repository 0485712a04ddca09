"""The service that imagepool replaces, reproduced to be measured beside it.

A Flask app that sends a random *.webp out of a folder to clients whose address holds the key. It
answers, picks, sends and logs as that service does, and runs as that did: gunicorn with 2 workers
and --timeout 37. Three things differ: the folder, /app there, comes from the environment variable
OLD_SERVICE_ROOT, the key is not written to the log, and the routes that load key and images anew
are left out.
"""

import logging
import os
import random
import secrets
from logging.handlers import RotatingFileHandler
from pathlib import Path

from flask import Flask, Response, jsonify, send_file
from flask_cors import CORS

ROOT = Path(os.environ["OLD_SERVICE_ROOT"])
IMAGE_DIR = ROOT / "images"

app = Flask(__name__)
CORS(app)
app.config["API_KEY"] = (ROOT / "api_key.txt").read_text().strip()
app.config["IMAGE_LIST"] = [name for name in os.listdir(IMAGE_DIR) if name.endswith(".webp")]


def start_logging() -> None:
    log = ROOT / "log/app.log"
    to_file = RotatingFileHandler(log, maxBytes=10 * 1024 * 1024, backupCount=10)
    to_file.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
    logger = logging.getLogger()
    for handler in (to_file, logging.StreamHandler()):
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)


@app.route("/random-image/<key>", methods=["GET"])
def random_image(key: str) -> Response | tuple[Response, int]:
    if not secrets.compare_digest(app.config["API_KEY"], key):
        return jsonify({"error": "Unauthorized"}), 401
    if not app.config["IMAGE_LIST"]:
        return jsonify({"error": "No images found"}), 404
    name = random.choice(app.config["IMAGE_LIST"])
    return send_file(os.path.join(IMAGE_DIR, name), mimetype="image/webp")


start_logging()
