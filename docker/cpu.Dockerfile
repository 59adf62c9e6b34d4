# SPDX-License-Identifier: Apache-2.0
# The command, for the CPU. Files are read and written as the user who calls:
#   docker build -f docker/cpu.Dockerfile -t lamella .
#   docker run --rm --user "$(id -u)" -v "$PWD:/data" lamella predict model.keras -i x.npy -o y.npy
FROM debian:12-slim AS build
COPY . /lamella
WORKDIR /lamella
# hadolint ignore=DL3008
RUN scripts/deps && apt-get install -y --no-install-recommends dpkg-dev file
RUN cmake --workflow --preset package

FROM debian:12-slim
RUN --mount=type=bind,from=build,source=/lamella/build/package,target=/packages \
    apt-get update && apt-get install -y --no-install-recommends /packages/liblamella0_*.deb /packages/lamella_*.deb \
    && rm -rf /var/lib/apt/lists/*
USER 10001
WORKDIR /data
ENTRYPOINT ["lamella"]
CMD ["--help"]
