"""The service that imagepool replaces, reproduced to be measured beside it.

A Flask app that sends a random *.webp out of a folder to clients whose address
holds the key. It answers, picks, sends and logs as that service does, and runs
as that did: gunicorn with 2 workers and --timeout 37. Two things differ: the
folder, /app there, comes from the environment variable OLD_SERVICE_ROOT, and
the key is not written to the log.
"""

import logging
import os
import random
import secrets
import sys
from functools import wraps
from logging.handlers import RotatingFileHandler

from flask import Flask, jsonify, send_file
from flask_cors import CORS

ROOT = os.environ["OLD_SERVICE_ROOT"]
KEY_FILE = os.path.join(ROOT, "api_key.txt")
IMAGE_DIR = os.path.join(ROOT, "images")
LOG_FILE = os.path.join(ROOT, "log", "app.log")

app = Flask(__name__)
CORS(app)
app.config["API_KEY"] = None
app.config["IMAGE_LIST"] = []


def start_logging():
    to_file = RotatingFileHandler(LOG_FILE, maxBytes=10 * 1024 * 1024, backupCount=10)
    to_file.setLevel(logging.INFO)
    to_file.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
    logger = logging.getLogger()
    logger.addHandler(to_file)
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)


def load_key():
    app.config["API_KEY"] = None
    if os.path.exists(KEY_FILE):
        with open(KEY_FILE) as file:
            app.config["API_KEY"] = file.read().strip() or None
    if not app.config["API_KEY"]:
        logging.error(f"API key file {KEY_FILE} not found or empty")


def load_image_list():
    app.config["IMAGE_LIST"] = [name for name in os.listdir(IMAGE_DIR) if name.endswith(".webp")]
    logging.info(f"Initialized with {len(app.config['IMAGE_LIST'])} images.")


def requires_key(view):
    @wraps(view)
    def checked(key):
        stored = app.config["API_KEY"]
        if not stored or not secrets.compare_digest(stored, key):
            return jsonify({"error": "Unauthorized"}), 401
        return view(key)

    return checked


@app.route("/update-key/<key>", methods=["GET"])
@requires_key
def update_key(key):
    load_key()
    if not app.config["API_KEY"]:
        return jsonify({"error": "API key not found or invalid"}), 404
    return jsonify({"message": "API key updated successfully"}), 200


@app.route("/update-images/<key>", methods=["GET"])
@requires_key
def update_images(key):
    load_image_list()
    if not app.config["IMAGE_LIST"]:
        return jsonify({"error": "No images found"}), 404
    return jsonify({"message": "Images list updated"}), 200


@app.route("/random-image/<key>", methods=["GET"])
@requires_key
def random_image(key):
    if not app.config["IMAGE_LIST"]:
        return jsonify({"error": "No images found"}), 404
    name = random.choice(app.config["IMAGE_LIST"])
    return send_file(os.path.join(IMAGE_DIR, name), mimetype="image/webp")


start_logging()
load_image_list()
load_key()
if not app.config["API_KEY"]:
    sys.exit(1)
