# `segment-s3 receive` as an image: one static binary, no shell, no root. It is the receiver as a server. `make build`
# builds the three functions for Lambda: ingester, exporter and receiver.
#
#     docker build -t segment-s3 .
#     docker run -p 8080:8080 -e STATE_BUCKET=… -e WRITE_KEYS=key=source segment-s3
FROM rust:1.95.0-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
# The target of this image is musl, so the binary is static.
RUN cargo build --release --locked -p local --bin segment-s3

FROM scratch
# For HTTPS to S3.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/segment-s3 /segment-s3
USER 65532:65532
EXPOSE 8080
# SIGTERM answers the requests in flight first.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/segment-s3"]
CMD ["receive", "--listen", "0.0.0.0:8080"]
