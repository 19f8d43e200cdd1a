# Both programs in one image: `gateway` and `sidecar` are the commands.
FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p gateway -p sidecar

FROM debian:bookworm-slim
COPY --from=build /src/target/release/gateway /src/target/release/sidecar /usr/local/bin/
COPY conf /etc/satchel
# The uid and gid of Debian's tomcat packages differ by machine: run the sidecar as Tomcat's user (`--user`).
USER 65534:65534
CMD ["sidecar", "--config", "/etc/satchel/sidecar.toml"]
