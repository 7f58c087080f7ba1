namespace Librarian.Functions.Hosting;

internal static partial class Logs
{
    [LoggerMessage(1001, LogLevel.Debug, "Timer function {Function} started (past due: {IsPastDue})")]
    public static partial void TimerRunStarted(ILogger logger, string function, bool isPastDue);

    [LoggerMessage(1002, LogLevel.Debug, "Timer function {Function} ended; next run {Next:u}")]
    public static partial void TimerRunEnded(ILogger logger, string function, DateTimeOffset next);

    [LoggerMessage(1003, LogLevel.Error, "Timer function {Function} failed: {Reason}. Its schedule goes on; next run {Next:u}")]
    public static partial void TimerRunFailed(ILogger logger, Exception exception, string function, string reason, DateTimeOffset next);

    [LoggerMessage(1004, LogLevel.Warning, "Timer function {Function} lost its lease during a run, which was cancelled; another process of this site may have taken over")]
    public static partial void TimerLeaseLost(ILogger logger, string function);

    [LoggerMessage(1005, LogLevel.Warning, "The record of timer function {Function} cannot be read or written: {Reason}. No run is lost; trying again in {Delay}")]
    public static partial void TimerStoreFailed(ILogger logger, Exception exception, string function, string reason, TimeSpan delay);

    [LoggerMessage(1006, LogLevel.Information, "Timer function {Function} takes over a run that another process left unfinished")]
    public static partial void TimerTakenOver(ILogger logger, string function);

    [LoggerMessage(1007, LogLevel.Information, "Timer function {Function} was interrupted by the stop of the site and will run again at the next start")]
    public static partial void TimerInterrupted(ILogger logger, string function);

    [LoggerMessage(1008, LogLevel.Information, "Timer function {Function}: schedule {Schedule}, next run {Next:u}")]
    public static partial void TimerScheduled(ILogger logger, string function, string schedule, DateTimeOffset next);

    [LoggerMessage(1009, LogLevel.Information, "Function {Function} is disabled by AzureWebJobs.{Function}.Disabled")]
    public static partial void FunctionDisabled(ILogger logger, string function);

    [LoggerMessage(1010, LogLevel.Critical, "The process of the Functions host ({Parent}) is gone; this process stops so that a new host finds no rival. Durable work goes on at the next start")]
    public static partial void ParentGone(ILogger logger, int parent);

    [LoggerMessage(1011, LogLevel.Critical, "The background service {Service} failed and the site stopped: {Reason}. Recorded work is kept and goes on at the next start")]
    public static partial void BackgroundServiceFailed(ILogger logger, Exception exception, string service, string reason);

    [LoggerMessage(1012, LogLevel.Critical, "The site could not start or stopped on an error: {Reason}")]
    public static partial void SiteFailed(ILogger logger, Exception exception, string reason);
}
