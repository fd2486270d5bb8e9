# The image is one program, /dynamo-cache, linked statically, and the terms that it is given under.
#
#   docker build --tag ghcr.io/dynamo-cache/dynamo-cache:0.1.0 .
#
# Where the program is built already, a folder with it and with licenses/ takes the place of the
# stage "build", and no base image is needed; tests/node/image does that:
#
#   buildah build --build-context build=FOLDER .

# By its digest, since a tag can be moved; it is that of an index, for amd64 and arm64. For a newer one:
#   skopeo inspect --format '{{.Digest}}' docker://docker.io/library/rust:VERSION-bookworm
FROM docker.io/library/rust:1.98.1-bookworm@sha256:93ce27a88655056a51dbdd8f5f2d7ddc071c7b0070fb288a37b5a285fc83971e AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock LICENSE ./
COPY src src
# `try` shows one of them.
COPY manifests/examples manifests/examples
# The target is named so that the flags are for the program alone, and not for what cargo runs to
# build it, which cannot be static.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
    && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" \
    && cp "target/$target/release/dynamo-cache" /dynamo-cache \
    && mkdir /licenses && cp LICENSE /licenses

FROM scratch
COPY --from=build /dynamo-cache /dynamo-cache
# Only ours, where the stage above has built it. An image that you give on to others needs those of
# all that is linked in, too: .ci/release image has them.
COPY --from=build /licenses /licenses
# Of no user: the number is in no user list of any node.
USER 65532:65532
ENTRYPOINT ["/dynamo-cache"]
