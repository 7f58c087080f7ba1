using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Durable.Hub;

namespace Librarian.Functions.Api;

/// <summary>
/// Writes answers in the shapes of docs/spec/wire.md#generic-failures and docs/spec/wire.md#endpoints, and errors for requests that no
/// function answered.
/// </summary>
internal static class Answers
{
    /// <summary>An answer in the wire's JSON.</summary>
    public static IResult Json<T>(T body, int status = StatusCodes.Status200OK) =>
        Results.Json(body, WireJson.Wire.Options, statusCode: status);

    /// <summary>Logs a failure and answers with it.</summary>
    public static IResult Fail(HttpRequest request, int status, string reason, string remedy)
    {
        Log(request, status, reason, remedy);
        return Json(new Failure(reason, remedy), status);
    }

    /// <summary>Logs a failure of one transfer and answers with it.</summary>
    public static IResult Fail(HttpRequest request, int status, TransferFailure failure)
    {
        Log(request, status, failure.Reason, failure.SuggestedRemedy);
        return Json(failure, status);
    }

    /// <summary>The same failure as JSON text inside <c>detail</c>: clone/stage answers so (docs/spec/wire.md#clone-failures).</summary>
    public static IResult Wrapped(HttpRequest request, int status, TransferFailure failure)
    {
        Log(request, status, failure.Reason, failure.SuggestedRemedy);
        return Json(WrappedFailure.Of(failure), status);
    }

    /// <summary>Logs a failure of a batch and answers with it.</summary>
    public static IResult Fail(HttpRequest request, int status, BatchFailure failure)
    {
        Log(request, status, failure.Reason, failure.SuggestedRemedy);
        return Json(failure, status);
    }

    public static Caller Caller(this HttpRequest request) => Security.BasicAuthentication.CallerOf(request.HttpContext);

    /// <summary>Answers where no function did: unknown routes, wrong methods, bodies that are not JSON, and internal errors.</summary>
    public static void UseWireErrors(this IApplicationBuilder app) =>
        app.Use(
            async (context, next) =>
            {
                try
                {
                    await next(context);
                    await DescribeAsync(context);
                }
                catch (BadHttpRequestException e) when (!context.Response.HasStarted)
                {
                    await AnswerAsync(context, e);
                }
                catch (Exception e) when (!context.Response.HasStarted && IsUnstorableText(e))
                {
                    await AnswerUnstorableAsync(context, e);
                }
                catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
                {
                    context.Response.StatusCode = 499;
                }
                catch (HubException e) when (!context.Response.HasStarted)
                {
                    await AnswerAsync(context, e);
                }
                catch (Exception e) when (!context.Response.HasStarted && CatalogDatabase.IsAway(e))
                {
                    await AnswerAwayAsync(context, e);
                }
                catch (Exception e) when (!context.Response.HasStarted)
                {
                    await AnswerUnhandledAsync(context, e);
                }
            }
        );

    /// <summary>Gives the framework's own refusals a text.</summary>
    private static async Task DescribeAsync(HttpContext context)
    {
        if (
            context.Response is
            {
                HasStarted: false,
                ContentLength: null,
                ContentType: null,
                StatusCode: StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed
            } response
        )
        {
            await response.WriteAsJsonAsync(
                new WrappedFailure(response.StatusCode == 404 ? "Not Found" : "Method Not Allowed"),
                WireJson.Wire.WrappedFailure
            );
        }
        else if (context.Response is { HasStarted: false, StatusCode: StatusCodes.Status415UnsupportedMediaType })
        {
            context.Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
            await context.Response.WriteAsJsonAsync(
                new Failure("The request body is not valid.", "Send JSON with Content-Type: application/json."),
                WireJson.Wire.Failure
            );
        }
        else if (
            context.Response is
            { HasStarted: false, ContentLength: null, ContentType: null, StatusCode: StatusCodes.Status413PayloadTooLarge }
        )
        {
            // The framework's own refusal, sent while it binds the body, has no text.
            await context.Response.WriteAsJsonAsync(
                new Failure("The request body is too large.", "Send less at once. Nothing was changed."),
                WireJson.Wire.Failure
            );
        }
    }

    private static async Task AnswerAsync(HttpContext context, BadHttpRequestException e)
    {
        // Without a detail object: Python's client cannot read the framework's own 422 (docs/spec/wire.md#generic-failures,
        // docs/spec/wire.md#python-client-answers).
        var status = e.StatusCode == StatusCodes.Status413PayloadTooLarge ? e.StatusCode : StatusCodes.Status422UnprocessableEntity;
        var what = status == StatusCodes.Status413PayloadTooLarge ? "The request body is too large." : "The request body is not valid.";
        var why = e.InnerException is JsonException json ? json.Message : e.Message;
        Log(context.Request, status, what, why);
        context.Response.Clear();
        context.Response.StatusCode = status;
        await context.Response.WriteAsJsonAsync(new Failure(what, why), WireJson.Wire.Failure);
    }

    private static async Task AnswerUnstorableAsync(HttpContext context, Exception e)
    {
        // PostgreSQL's own limits (NUL, too long for the column), for texts that no rule above checks.
        Log(context.Request, 422, "The request body is not valid.", e.GetBaseException().Message);
        context.Response.Clear();
        context.Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
        await context.Response.WriteAsJsonAsync(
            new Failure("The request body is not valid.", "A text contains U+0000 or is longer than 256 characters. Nothing was changed."),
            WireJson.Wire.Failure
        );
    }

    private static async Task AnswerAsync(HttpContext context, HubException e)
    {
        var status = e.Code switch
        {
            HubException.Unavailable => StatusCodes.Status503ServiceUnavailable,
            HubException.Unsupported => StatusCodes.Status501NotImplemented,
            _ => StatusCodes.Status502BadGateway,
        };
        var remedy = e.IsTransient
            ? "Nothing was acknowledged. Ask again in a moment."
            : "Nothing was changed. docs/orchestrations.md says what a site on a hub can do.";
        Log(context.Request, status, e.Message, remedy);
        context.Response.Clear();
        context.Response.StatusCode = status;
        if (e.IsTransient)
            context.Response.Headers.RetryAfter = "10";
        await context.Response.WriteAsJsonAsync(new Failure(e.Message, remedy), WireJson.Wire.Failure);
    }

    private static async Task AnswerAwayAsync(HttpContext context, Exception e)
    {
        const string Remedy =
            "Nothing was acknowledged. Try again in a moment: " + "the site goes on by itself when its database (Site:Database) answers.";
        Log(context.Request, StatusCodes.Status503ServiceUnavailable, Reasons.DatabaseAway, $"{e.GetBaseException().Message} {Remedy}");
        context.Response.Clear();
        context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        context.Response.Headers.RetryAfter = "10";
        await context.Response.WriteAsJsonAsync(new Failure(Reasons.DatabaseAway, Remedy), WireJson.Wire.Failure);
    }

    private static async Task AnswerUnhandledAsync(HttpContext context, Exception e)
    {
        Logs.Unhandled(Logger(context.Request), e, context.Request.Path);
        context.Response.Clear();
        context.Response.StatusCode = StatusCodes.Status500InternalServerError;
        await context.Response.WriteAsJsonAsync(
            new Failure(
                Reasons.Internal,
                "Nothing was acknowledged. Try again; if it persists, ask the site's administrator for the log of this moment."
            ),
            WireJson.Wire.Failure
        );
    }

    private static bool IsUnstorableText(Exception exception) =>
        exception.GetBaseException() is Npgsql.PostgresException { SqlState: "22021" or "22001" };

    private static void Log(HttpRequest request, int status, string reason, string remedy) =>
        Logs.Answered(Logger(request), request.HttpContext.User.Identity?.Name ?? "-", request.Path, status, reason, remedy);

    private static ILogger Logger(HttpRequest request) =>
        request.HttpContext.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("Librarian.Functions.Api");
}
