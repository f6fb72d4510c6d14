# Longhaul and nothing else: no shell, no package manager, not root.
#   docker build -t longhaul .
#   docker run --rm -p 8080:8080 -v "$PWD/longhaul.yaml:/etc/longhaul/longhaul.yaml:ro" longhaul

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
RUN rustup component add llvm-tools
COPY . .
# Twenty minutes: it is built twice, the second time by what the first did at work.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    bench/release \
    && strip -o /longhaul target/guided/longhaul

# libc, libgcc and the certificates of the system; user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /longhaul /usr/local/bin/longhaul
USER 65532:65532
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/longhaul"]
CMD ["run", "--config", "/etc/longhaul/longhaul.yaml"]
