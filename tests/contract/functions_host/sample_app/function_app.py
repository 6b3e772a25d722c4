"""A small function app with one function of each kind, for the tests of the host and of Microsoft's runtime."""

from __future__ import annotations

import json
import threading

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
blueprint = func.Blueprint()  # type: ignore[no-untyped-call] # the package leaves its constructor untyped

journal: list[str] = []
"""What the functions were given, in order; the function `journal` shows it."""


@app.route(route="greet/{name}", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def greet(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"Good day, {req.route_params['name']}", headers={"X-Told": "yes"})


@app.route(route="echo/{*rest}")
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Answers with everything it was given; runs in a thread."""
    told = {
        "method": req.method,
        "url": req.url,
        "params": dict(req.params),
        "route": dict(req.route_params),
        "headers": {name: req.headers[name] for name in req.headers if name.startswith("x-test")},
        "body": req.get_body().decode(),
        "function": context.function_name,
        "has_id": bool(context.invocation_id),
        "same_id": getattr(context.thread_local_storage, "invocation_id", "") == context.invocation_id,
        "in_thread": threading.current_thread() is not threading.main_thread(),
    }
    return func.HttpResponse(json.dumps(told), mimetype="application/json")


@app.route(route="orders/{id:guid}", methods=["GET"])
async def order_by_id(req: func.HttpRequest) -> str:
    return f"id {req.route_params['id']}"


@app.route(route="orders/{number?}", methods=["GET"])
async def order_by_number(req: func.HttpRequest) -> str:
    return f"number {req.route_params.get('number', 'none')}"


@app.route(route="orders/latest", methods=["GET"])
async def latest_order(req: func.HttpRequest) -> str:
    return "latest"


@app.route(route="keep", methods=["POST"], auth_level=func.AuthLevel.ADMIN)
async def keep(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route(route="fail", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def fail(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("a secret that must not show")


@app.route(route="nothing", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None  # type: ignore[return-value] # the mistake is what the test is about


@app.route(route="cookies", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def cookies(req: func.HttpRequest) -> func.HttpResponse:
    answer = func.HttpResponse("ok")
    answer.headers.add("Set-Cookie", "a=1; Path=/")
    answer.headers.add("Set-Cookie", "b=2; Path=/")
    return answer


@app.route(route="journal", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def show_journal(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(journal), mimetype="application/json")


@blueprint.timer_trigger(arg_name="timer", schedule="%TICK_SCHEDULE%")
async def tick(timer: func.TimerRequest) -> None:
    journal.append(f"tick past_due={timer.past_due}")


@blueprint.service_bus_queue_trigger(arg_name="message", queue_name="%ORDERS_QUEUE%", connection="ServiceBus")
async def orders(message: func.ServiceBusMessage) -> None:
    text = message.get_body().decode()
    journal.append(f"orders {text} #{message.delivery_count} {message.application_properties}")
    if text == "bad":
        raise ValueError("a value that must not show")


@blueprint.service_bus_queue_trigger(arg_name="text", queue_name="invoices", connection="ServiceBus")
def invoices(text: str, context: func.Context) -> None:
    journal.append(f"invoices {text} {context.function_name}")


app.register_functions(blueprint)
