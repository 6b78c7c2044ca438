# A peer in a container: one static binary, and nothing else.
#
#   rustup target add x86_64-unknown-linux-musl
#   CC_x86_64_unknown_linux_musl=gcc cargo build --release --target x86_64-unknown-linux-musl
#   docker build -t p2p .
#
# docs/p2p_setup.md goes on from here.
FROM scratch

ARG BINARY=target/x86_64-unknown-linux-musl/release/p2p
COPY ${BINARY} /p2p
# /data and /run, empty and the peer's own: a new volume takes over whose it is. No shell could make them here.
COPY --chown=65532:65532 contrib/container/ /

# A number, so that whoever starts the container can see that it is not root.
USER 65532:65532
WORKDIR /data
# Where commands find the peer: "docker exec … /p2p status", and the check of health. There is no /tmp: what comes by
# standard input passes through the volume.
ENV XDG_RUNTIME_DIR=/run TMPDIR=/data P2P_KADEMLIA=1 P2P_LISTEN=:12000
# Bytes of files over TCP, all else over UDP.
EXPOSE 12000/tcp 12000/udp
# The store, what the peer remembers of its network, and who it is.
VOLUME /data

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/p2p", "status", "--timeout", "4"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/p2p"]
# Joins the network of P2P_REMOTE_HOST; creates one where that is not set.
CMD ["join"]
