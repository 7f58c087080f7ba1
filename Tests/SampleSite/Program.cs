using Librarian.Tests.SampleSite;

if (await FunctionJson.TryRunVerbAsync(args, typeof(PingFunctions).Assembly) is { } exitCode) return exitCode;

var builder = FunctionsApplication.CreateBuilder(args);
builder.Configuration["Schedules:Tick"] ??= "0 0 3 * * *";
builder.AddFunctions(typeof(PingFunctions).Assembly);
builder.Services.AddSingleton<ITimerStatusStore, InMemoryTimerStatusStore>();
builder.Services.AddSingleton<TickCounter>();
builder.Services.AddHostedService<StartGate>();
builder.Services.AddHostedService<FailingService>();
var app = builder.Build();
app.MapFunctions();
return await app.RunFunctionsAsync();
