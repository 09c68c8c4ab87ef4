# The image of Postlink: only the program, on distroless. It does not run as root and writes nothing to its file system.
#
#   docker build -t registry.example.com/postlink:0.1.0 .
#
# Build stage and final stage use the same Debian release, because the program is linked against its glibc.
FROM docker.io/library/rust:1.89-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock Makefile ./
COPY .cargo .cargo
COPY src src
COPY crates crates
COPY charts/postlink/policies charts/postlink/policies
# The same step runs outside of a container in CI.
RUN make image-binary
# The second name is for `kubectl postlink`. It is a link, so that the image contains the program only once.
RUN mkdir /image && cp target/release/postlink /image/ && ln -s postlink /image/kubectl-postlink

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="postlink" \
      org.opencontainers.image.description="A Kubernetes controller that links social posts to records in Dynamics 365" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
USER 65532:65532
ENTRYPOINT ["/postlink"]
CMD ["--help"]
