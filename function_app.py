"""The function app: registers the blueprints; nothing else."""

import azure.functions as func

from functions import evaluations, feeds, field_service, operations, sales_cockpit, sites, timers, transfers, webhooks

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(webhooks.blueprint)
app.register_functions(transfers.blueprint)
app.register_functions(feeds.blueprint)
app.register_functions(timers.blueprint)
app.register_functions(operations.blueprint)
app.register_functions(sites.blueprint)
app.register_functions(sales_cockpit.blueprint)
app.register_functions(evaluations.blueprint)
app.register_functions(field_service.blueprint)
