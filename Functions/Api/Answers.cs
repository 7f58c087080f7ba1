using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Transfers;

namespace Librarian.Functions.Api;

/// <summary>Answers in the shapes of wire.md §1.2 and §6, and errors for whatever no function answered.</summary>
internal static class Answers
{
    /// <summary>A body of the contract.</summary>
    public static IResult Json<T>(T body, int status = StatusCodes.Status200OK) => Results.Json(body, WireJson.Wire.Options, statusCode: status);

    /// <summary>An ordinary failure, logged with its reason.</summary>
    public static IResult Fail(HttpRequest request, int status, string reason, string remedy)
    {
        Log(request, status, reason, remedy);
        return Json(new Failure(reason, remedy), status);
    }

    /// <summary>A failure about one transfer (F1).</summary>
    public static IResult Fail(HttpRequest request, int status, TransferFailure failure)
    {
        Log(request, status, failure.Reason, failure.SuggestedRemedy);
        return Json(failure, status);
    }

    /// <summary>The same as a JSON text inside <c>detail</c>, as clone/stage answers (wire.md §6.6).</summary>
    public static IResult Wrapped(HttpRequest request, int status, TransferFailure failure)
    {
        Log(request, status, failure.Reason, failure.SuggestedRemedy);
        return Json(WrappedFailure.Of(failure), status);
    }

    /// <summary>A failure about a batch (FB).</summary>
    public static IResult Fail(HttpRequest request, int status, BatchFailure failure)
    {
        Log(request, status, failure.Reason, failure.SuggestedRemedy);
        return Json(failure, status);
    }

    /// <summary>The caller of the request.</summary>
    public static Caller Caller(this HttpRequest request) => Security.BasicAuthentication.CallerOf(request.HttpContext);

    /// <summary>Answers what no function did: unknown routes, wrong methods, bodies that are no JSON, and faults of our own.</summary>
    public static void UseWireErrors(this WebApplication app)
    {
        app.Use(async (context, next) =>
        {
            try
            {
                await next(context);
                if (context.Response is { HasStarted: false, ContentLength: null, ContentType: null, StatusCode: StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed } response)
                {
                    await response.WriteAsJsonAsync(new WrappedFailure(response.StatusCode == 404 ? "Not Found" : "Method Not Allowed"), WireJson.Wire.WrappedFailure);
                }
                else if (context.Response is { HasStarted: false, StatusCode: StatusCodes.Status415UnsupportedMediaType })
                {
                    context.Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
                    await context.Response.WriteAsJsonAsync(new Failure("The request body is not valid.", "Send JSON with Content-Type: application/json."), WireJson.Wire.Failure);
                }
            }
            catch (BadHttpRequestException e) when (!context.Response.HasStarted)
            {
                // A detail-free object: Python's client cannot read the framework's own 422 (wire.md §1.2, §8.1).
                var status = e.StatusCode == StatusCodes.Status413PayloadTooLarge ? e.StatusCode : StatusCodes.Status422UnprocessableEntity;
                var why = e.InnerException is JsonException json ? json.Message : e.Message;
                Log(context.Request, status, "The request body is not valid.", why);
                context.Response.Clear();
                context.Response.StatusCode = status;
                await context.Response.WriteAsJsonAsync(new Failure("The request body is not valid.", why), WireJson.Wire.Failure);
            }
            catch (Exception e) when (!context.Response.HasStarted && IsUnstorableText(e))
            {
                // PostgreSQL's own limits (NUL, too long for the column), for texts that no rule above looks at.
                Log(context.Request, 422, "The request body is not valid.", e.GetBaseException().Message);
                context.Response.Clear();
                context.Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
                await context.Response.WriteAsJsonAsync(new Failure("The request body is not valid.", "A text contains U+0000 or is longer than 256 characters. Nothing was changed."), WireJson.Wire.Failure);
            }
            catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
            {
                context.Response.StatusCode = 499;
            }
            catch (Exception e) when (!context.Response.HasStarted)
            {
                Logs.Unhandled(Logger(context.Request), e, context.Request.Path);
                context.Response.Clear();
                context.Response.StatusCode = StatusCodes.Status500InternalServerError;
                await context.Response.WriteAsJsonAsync(new Failure(Reasons.Internal, "Nothing was acknowledged. Try again; if it persists, ask the site's administrator for the log of this moment."), WireJson.Wire.Failure);
            }
        });
    }

    private static bool IsUnstorableText(Exception exception) => exception.GetBaseException() is Npgsql.PostgresException { SqlState: "22021" or "22001" };

    private static void Log(HttpRequest request, int status, string reason, string remedy) =>
        Logs.Answered(Logger(request), request.HttpContext.User.Identity?.Name ?? "-", request.Path, status, reason, remedy);

    private static ILogger Logger(HttpRequest request) => request.HttpContext.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("Librarian.Functions.Api");
}

/// <summary>Log lines of the HTTP functions; event ids 4100 to 4119.</summary>
internal static partial class Logs
{
    [LoggerMessage(4100, LogLevel.Warning, "{User} {Path} answered {Status}: {Reason} {Remedy}")]
    public static partial void Answered(ILogger logger, string user, string path, int status, string reason, string remedy);

    [LoggerMessage(4101, LogLevel.Error, "Unhandled error at {Path}")]
    public static partial void Unhandled(ILogger logger, Exception exception, string path);
}
