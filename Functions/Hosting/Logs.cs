namespace Librarian.Functions.Hosting;

internal static partial class Logs
{
    [LoggerMessage(1001, LogLevel.Debug, "Timer function {Function} started (past due: {IsPastDue})")]
    public static partial void TimerRunStarted(ILogger logger, string function, bool isPastDue);

    [LoggerMessage(1002, LogLevel.Debug, "Timer function {Function} ended; next run {Next:u}")]
    public static partial void TimerRunEnded(ILogger logger, string function, DateTimeOffset next);

    [LoggerMessage(1003, LogLevel.Error, "Timer function {Function} failed: {Reason}. Its schedule goes on; next run {Next:u}")]
    public static partial void TimerRunFailed(ILogger logger, Exception exception, string function, string reason, DateTimeOffset next);

    [LoggerMessage(
        1004,
        LogLevel.Warning,
        "Timer function {Function} lost its lease during a run, which was cancelled; another process of this site may have taken over"
    )]
    public static partial void TimerLeaseLost(ILogger logger, string function);

    [LoggerMessage(
        1005,
        LogLevel.Warning,
        "The record of timer function {Function} cannot be read or written: {Reason}. No run is lost; trying again in {Delay}"
    )]
    public static partial void TimerStoreFailed(ILogger logger, Exception exception, string function, string reason, TimeSpan delay);

    [LoggerMessage(1006, LogLevel.Information, "Timer function {Function} takes over a run that another process left unfinished")]
    public static partial void TimerTakenOver(ILogger logger, string function);

    [LoggerMessage(
        1007,
        LogLevel.Information,
        "Timer function {Function} was interrupted by the stop of the site and will run again at the next start"
    )]
    public static partial void TimerInterrupted(ILogger logger, string function);

    [LoggerMessage(1008, LogLevel.Information, "Timer function {Function}: schedule {Schedule}, next run {Next:u}")]
    public static partial void TimerScheduled(ILogger logger, string function, string schedule, DateTimeOffset next);

    [LoggerMessage(1009, LogLevel.Information, "Function {Function} is disabled by AzureWebJobs.{Function}.Disabled")]
    public static partial void FunctionDisabled(ILogger logger, string function);

    [LoggerMessage(
        1010,
        LogLevel.Critical,
        "The process of the Functions host ({Parent}) is gone; this process stops so that a new host finds no rival. "
            + "Durable work goes on at the next start"
    )]
    public static partial void ParentGone(ILogger logger, int parent);

    [LoggerMessage(
        1011,
        LogLevel.Critical,
        "The background service {Service} failed and the site stopped: {Reason}. Recorded work is kept and goes on at the next start"
    )]
    public static partial void BackgroundServiceFailed(ILogger logger, Exception exception, string service, string reason);

    [LoggerMessage(1012, LogLevel.Critical, "The site could not start or stopped on an error: {Reason}")]
    public static partial void SiteFailed(ILogger logger, Exception exception, string reason);

    [LoggerMessage(
        1013,
        LogLevel.Warning,
        "The clock of this machine says {Now:u} where {Expected:u} was to be expected: it was set, or the machine slept. "
            + "Timers go by the new time, and nothing is lost; if it is wrong, correct it (timedatectl)"
    )]
    public static partial void ClockJumped(ILogger logger, DateTimeOffset expected, DateTimeOffset now);

    [LoggerMessage(
        1014,
        LogLevel.Warning,
        "The next run of a timer was recorded for {Recorded:u}, but the clock of this machine says {Now:u}: "
            + "it was ahead then, or is behind now. "
            + "Next runs are computed anew, and nothing is lost; if the clock is wrong, correct it (timedatectl)"
    )]
    public static partial void ClockBehindRecords(ILogger logger, DateTimeOffset recorded, DateTimeOffset now);

    // Debug only: the connection to the hub has already logged, once, that the hub cannot be reached.
    [LoggerMessage(1017, LogLevel.Debug, "Timer function {Function} waits for the Durable Task hub; next run {Next:u}")]
    public static partial void TimerWaitsForHub(ILogger logger, string function, DateTimeOffset next);

    [LoggerMessage(1016, LogLevel.Error, "The answer to {Path} broke off")]
    public static partial void AnswerBroken(ILogger logger, Exception exception, string path);

    [LoggerMessage(
        1018,
        LogLevel.Warning,
        "The request {Path} reached no function in time and was answered with 503: {Reason} Nothing was done, and the client tries again. "
            + "The machine is too busy, or was stopped for a while; if this comes often, give it more processors"
    )]
    public static partial void RequestNotPaired(ILogger logger, string path, string reason);

    [LoggerMessage(1015, LogLevel.Critical, "The site does not start: {Reason}")]
    public static partial void SiteRefused(ILogger logger, string reason);
}
