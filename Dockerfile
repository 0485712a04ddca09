FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# Dependencies are built on placeholder sources, in a layer that outlives changes to src/.
# Cargo rejects a manifest whose listed benches or tests are missing, and neither belongs in an image.
COPY Cargo.toml Cargo.lock ./
RUN awk '/^\[/ { skip = /^\[\[(bench|test|example)\]\]/ } !skip' Cargo.toml > trimmed.toml \
    && mv trimmed.toml Cargo.toml \
    && mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    # COPY keeps modification times: sources older than this layer would pass for already built.
    && cargo clean --release --locked --package imagepool \
    && rm -r src

COPY src src
RUN cargo build --release --locked


FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="imagepool" \
      org.opencontainers.image.description="A folder of pictures, served at random: one binary, one data file" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# The uid is fixed so that a bind-mounted /data can be given its owner from outside.
RUN groupadd --gid 10001 imagepool \
    && useradd --uid 10001 --gid imagepool --no-log-init --no-create-home \
        --home-dir /data --shell /usr/sbin/nologin imagepool \
    && install --directory --owner=imagepool --group=imagepool /data

COPY LICENSE-* /usr/share/doc/imagepool/
COPY --from=build /build/target/release/imagepool /usr/local/bin/imagepool

# `docker stop` kills after 10 seconds: answers under way are given a little less.
ENV IMAGEPOOL_GALLERY=/data/gallery.pool \
    IMAGEPOOL_LISTEN=0.0.0.0:5000 \
    IMAGEPOOL_SHUTDOWN_TIMEOUT=8s
WORKDIR /data
# A builder may discard changes made to a volume's directory after this line.
VOLUME /data
EXPOSE 5000

# By number: Kubernetes' runAsNonRoot cannot resolve a name.
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["imagepool", "health"]
ENTRYPOINT ["imagepool"]
CMD ["serve"]
