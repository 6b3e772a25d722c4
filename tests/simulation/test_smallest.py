from tests.simulation.loop import run_virtually
from tests.simulation.world import Setup, World


def test_one():
    async def story():
        w = World(Setup())
        await w.prepare()
        w.crm.type_in(
            {
                "name": "Alfa",
                "crossdock_stage": "qualified",
                "address1_country": "it",
                "telephone1": "123",
                "address1_postalcode": "39100",
            }
        )
        await w.run()
        return w, await w.check()

    w, wrong = run_virtually(story())
    print(w.erp.records, w.crm.records, w.crm.reads, w.erp.reads, w.erp.updates, w.crm.updates, w.clock.__class__)
    print(w.faults.names[:80], len(w.faults.names))
    assert wrong == []
    assert w.erp.creates == 1
