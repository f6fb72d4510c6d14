// A chat hub, and the page that talks to it. Knows nothing of the router before it.
//   HUB_NAME        what it answers when it is asked who it is
//   PAGE            the folder with index.html
//   SIGNALR_JS      Microsoft's client for browsers, served as /signalr.js
//   --urls URL      where it listens
using System;
using System.IO;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Connections.Features;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

public class ChatHub : Hub
{
    static readonly string Name = Environment.GetEnvironmentVariable("HUB_NAME") ?? "hub";

    public string[] WhoAmI() => new[] { Name, Context.Features.Get<IHttpTransportFeature>().TransportType.ToString() };

    // Reaches the connections of this process. For those of the other hubs, SignalR needs a backplane such as Redis.
    public Task Say(string text) => Clients.All.SendAsync("said", Name, text);
}

public static class Program
{
    public static void Main(string[] arguments) => Host.CreateDefaultBuilder(arguments)
        .ConfigureLogging(logging => logging.SetMinimumLevel(LogLevel.Warning))
        .ConfigureWebHostDefaults(web => web
            .ConfigureServices(services => services.AddSignalR())
            .Configure(app => app.UseRouting().UseEndpoints(routes =>
            {
                routes.MapHub<ChatHub>("/chat");
                File(routes, "/", "text/html; charset=utf-8", Path.Combine(Setting("PAGE"), "index.html"));
                File(routes, "/signalr.js", "text/javascript; charset=utf-8", Setting("SIGNALR_JS"));
            })))
        .Build()
        .Run();

    static string Setting(string name) =>
        Environment.GetEnvironmentVariable(name) ?? throw new Exception(name + " is not set");

    static void File(Microsoft.AspNetCore.Routing.IEndpointRouteBuilder routes, string path, string type, string file) =>
        routes.MapGet(path, answer =>
        {
            answer.Response.ContentType = type;
            return answer.Response.SendFileAsync(file);
        });
}
