# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
# For the client of etcd, which is generated.
RUN apt-get update \
    && apt-get install -y --no-install-recommends protobuf-compiler libprotobuf-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Registry and target directory are caches, not layers: a changed line rebuilds one crate. The binary
# is copied out in the same step, because a cache mount is gone after it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release -p sellout --features etcd \
    && cp target/release/sellout /usr/local/bin/sellout

# The same Debian as the builder: the binary links its glibc.
FROM debian:bookworm-slim
COPY --from=build /usr/local/bin/sellout /usr/local/bin/sellout
# A number, so that Kubernetes' runAsNonRoot can check it; no such user need exist.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/sellout"]
CMD ["serve"]
