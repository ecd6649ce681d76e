"""Runs one server of Debian's Swift from a folder of its own, or one pass of its container sync:
run-swift-server.py FOLDER KIND CONFIG."""
import sys

from swift.common import utils

folder, kind, config = sys.argv[1:4]
# Before anything reads /etc/swift/swift.conf.
utils.set_swift_dir(folder)

from swift.common.wsgi import run_wsgi  # noqa: E402

if kind == 'container-sync':
    from swift.common.daemon import run_daemon
    from swift.container.sync import ContainerSync

    run_daemon(ContainerSync, config, once=True, section='container-sync')
    sys.exit(0)
if kind == 'object':
    from swift.obj import server

    sys.exit(run_wsgi(config, 'object-server', default_port=6200,
                      global_conf_callback=server.global_conf_callback))
sys.exit(run_wsgi(config, kind + '-server'))
